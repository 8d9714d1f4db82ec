import "server-only";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { service } from "./settings";

const keys = createRemoteJWKSet(new URL(`${service}/.well-known/jwks.json`));

export type Receipt = { sub: string; key: string; size: number; type: string; sha256?: string };

/** The claims of a receipt. Throws if this service did not sign it. */
export async function verifiedReceipt(text: string): Promise<Receipt> {
  const { payload } = await jwtVerify<Receipt>(text, keys, {
    algorithms: ["EdDSA"],
    typ: "upload-receipt+jwt",
    clockTolerance: 60,
  });
  return payload;
}

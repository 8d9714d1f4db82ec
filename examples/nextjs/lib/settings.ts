import "server-only";
import { randomBytes } from "node:crypto";

const secret = (text: string | undefined) => (text ? new TextEncoder().encode(text) : null);

if (!process.env.SESSION_SECRET && process.env.NODE_ENV === "production" && process.env.NEXT_PHASE !== "phase-production-build")
  throw new Error("Set SESSION_SECRET to at least 32 random characters.");

/** Address of the upload service, for this server and for browsers alike. */
export const service = (process.env.UPLOAD_SERVICE_URL || "http://localhost:8000").replace(/\/+$/, "");
/** Signs tokens for the service; null where it asks for none. */
export const tokenSecret = secret(process.env.UPLOAD_JWT_SECRET);
export const webhookSecret = process.env.UPLOAD_WEBHOOK_SECRET || null;
/** In development one of this process: a restart signs everyone out. */
export const sessionSecret = secret(process.env.SESSION_SECRET) ?? randomBytes(32);

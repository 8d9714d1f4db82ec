import { revalidatePath } from "next/cache";
import { Webhook } from "standardwebhooks";
import { confirm, isNew } from "@/lib/confirmed";
import { verifiedReceipt } from "@/lib/receipts";
import { webhookSecret } from "@/lib/settings";

type Event = { id: string; type: string; data: { key: string; owner?: string; size: number; type: string; receipt?: string } };

/** Take an event of the service: docs/webhooks.md. */
export async function POST(request: Request): Promise<Response> {
  if (!webhookSecret) return new Response("Set UPLOAD_WEBHOOK_SECRET.\n", { status: 503 });
  let event: Event;
  try {
    // The bytes as they came: parsed and written again they would be others.
    event = new Webhook(webhookSecret).verify(await request.text(), Object.fromEntries(request.headers)) as Event;
  } catch {
    return new Response("The signature is wrong.\n", { status: 400 });
  }
  if (event.type === "upload.stored" && isNew(event.id)) {
    const { key, owner, size, type, receipt } = event.data;
    const signed = receipt ? await verifiedReceipt(receipt) : null;
    if (signed && signed.key !== key) return new Response("The receipt is of another file.\n", { status: 400 });
    confirm(key, { owner: owner ?? null, size, type });
    console.log(`stored ${key}, ${size} bytes, ${signed ? "with a receipt" : "without a receipt"}`);
    revalidatePath("/");
  }
  return new Response(null, { status: 204 });
}

// A client of generated types: stores one file by each plan, without a cast. node client.js SERVICE FILE
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Plan = components["schemas"]["MintedUpload"];

const [service, path] = process.argv.slice(2);
if (!service || !path) throw new Error("usage: node client.js SERVICE FILE");
const bytes = new Uint8Array(await readFile(path));
const client = createClient<paths>({ baseUrl: service });

function check(response: Response): Response {
  if (!response.ok) throw new Error(`${response.url.split("?")[0]} answered ${response.status}`);
  return response;
}

function form(fields: Record<string, string>): FormData {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  body.append("file", new Blob([bytes], { type: "image/jpeg" }), "photo.jpg");
  return body;
}

async function store(plan: Plan): Promise<void> {
  switch (plan.strategy) {
    case "put": {
      const headers = new Headers(plan.headers);
      headers.delete("Content-Length"); // fetch sets it itself
      check(await fetch(plan.presignedUrl, { method: plan.method, headers, body: bytes }));
      return;
    }
    case "post":
      check(await fetch(plan.presignedUrl, { method: plan.method, body: form(plan.fields) }));
      return;
    case "proxy":
      check(await fetch(service + plan.formUrl, { method: plan.method, body: form(plan.fields) }));
      return;
    case "multipart": {
      for (const part of plan.parts ?? []) {
        const start = (part.partNumber - 1) * plan.partSize;
        check(await fetch(part.url, { method: plan.method, body: bytes.slice(start, start + part.size) }));
      }
      const { data, error } = await client.POST("/uploads/{ticket}/complete", {
        params: { path: { ticket: plan.ticket } },
      });
      if (error) throw new Error(`${error.code}: ${error.detail}`);
      if (data.size !== plan.size) throw new Error(`stored ${data.size} bytes of ${plan.size}`);
      return;
    }
    case "resumable": {
      for (let offset = 0; offset < bytes.length; offset += plan.chunkSize ?? bytes.length) {
        const headers = {
          ...plan.headers,
          "Tus-Resumable": "1.0.0",
          "Upload-Offset": String(offset),
          "Content-Type": "application/offset+octet-stream",
        };
        const body = bytes.slice(offset, offset + (plan.chunkSize ?? bytes.length));
        check(await fetch(new URL(plan.uploadUrl, service), { method: plan.method, headers, body }));
      }
      return;
    }
    default: {
      const impossible: never = plan;
      throw new Error(`unknown plan ${impossible}`);
    }
  }
}

const stored: Record<string, string> = {};
for (const strategy of ["put", "post", "multipart", "resumable", "proxy"] satisfies Plan["strategy"][]) {
  const { data, error } = await client.POST("/uploads", {
    body: { filename: "photo.jpg", contentType: "image/jpeg", size: bytes.length, accepts: [strategy] },
  });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  await store(data);
  stored[data.strategy] = data.objectKey;
}

const { data, error } = await client.POST("/uploads", {
  body: { filename: "photo.exe", contentType: "image/jpeg", size: bytes.length },
});
if (data) throw new Error("an image called .exe was allowed");
console.log(JSON.stringify({ stored, refused: error.code }));

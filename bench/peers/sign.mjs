// The AWS SDK for JavaScript signs presigned PUTs: for each number read, that many; answers the nanoseconds.
import { createInterface } from 'node:readline'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'

const client = new S3Client({
  region: process.env.AWS_REGION,
  credentials: {
    accessKeyId: process.env.AWS_ACCESS_KEY_ID,
    secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
    sessionToken: process.env.AWS_SESSION_TOKEN,
  },
  // Otherwise it puts the checksum of an empty body into the URL.
  requestChecksumCalculation: 'WHEN_REQUIRED',
})
// Both headers are left unsigned unless they are named.
const options = { expiresIn: 300, signableHeaders: new Set(['content-length', 'content-type', 'host']) }

const sign = (number) =>
  getSignedUrl(
    client,
    new PutObjectCommand({
      Bucket: process.env.S3_BUCKET_NAME,
      Key: `uploads/${number.toString(16).padStart(32, '0')}.jpg`,
      ContentType: 'image/jpeg',
      ContentLength: 123456,
    }),
    options,
  )

console.log(JSON.stringify({ sample: await sign(0) }))
let number = 0
for await (const line of createInterface({ input: process.stdin })) {
  const started = process.hrtime.bigint()
  for (const last = number + Number(line); number < last; number += 1) await sign(number)
  console.log(JSON.stringify({ ns: Number(process.hrtime.bigint() - started) }))
}

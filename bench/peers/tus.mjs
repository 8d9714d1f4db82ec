// tus's own server in front of S3, with its own defaults, on the loopback interface.
import { S3Store } from '@tus/s3-store'
import { Server } from '@tus/server'

const { PORT, BENCH_S3_URL, AWS_REGION, S3_BUCKET_NAME, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = process.env
const datastore = new S3Store({
  s3ClientConfig: {
    bucket: S3_BUCKET_NAME,
    endpoint: BENCH_S3_URL,
    forcePathStyle: true,
    region: AWS_REGION,
    credentials: { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY },
    // The SDK's newer checksums are not known to every store.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  },
})
const server = new Server({ path: '/files', datastore })
// To see that it runs.
server.get('/', async () => new Response('ready'))
server.listen({ host: '127.0.0.1', port: Number(PORT) })

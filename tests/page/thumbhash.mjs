// Decodes the ThumbHashes of a JSON list on stdin by the page's module, which is the argument; prints their pixels.
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'

const { decoded } = await import(`data:text/javascript,${encodeURIComponent(await readFile(process.argv[2], 'utf8'))}`)
const found = JSON.parse(await text(process.stdin)).map(decoded)
console.log(JSON.stringify(found.map(({ width, height, data }) => ({ width, height, data: [...data] }))))

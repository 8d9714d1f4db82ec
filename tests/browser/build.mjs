// Bundles both pages. conftest.py puts the code of docs/uppy.md beside them as documented-v5.mjs and -v6.mjs.
// node build.mjs OUT makes OUT/v5.html, v5.js, v6.html and v6.js.
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import * as esbuild from 'esbuild'

const out = path.resolve(process.argv[2] ?? 'dist')
await mkdir(out, { recursive: true })

for (const major of [5, 6]) {
  await esbuild.build({
    entryPoints: [`page-v${major}.mjs`],
    outfile: path.join(out, `v${major}.js`),
    bundle: true,
    format: 'iife',
    logLevel: 'warning',
    // Both majors are installed side by side. The plugins, too, import "@uppy/core" and its subpaths.
    alias: { '@uppy/core': `uppy-core-${major}`, '@uppy/aws-s3': `uppy-aws-s3-${major}` },
  })
  const html = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="v${major}.js"></script>\n`
  await writeFile(path.join(out, `v${major}.html`), html)
}

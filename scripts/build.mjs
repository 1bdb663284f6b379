// Builds everything: the native addon, the bundles in dist/, their type declarations, and the JSON Schema of the configuration.
import { execFileSync } from 'node:child_process'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'rolldown'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const run = (script, ...args) => execFileSync(process.execPath, [join(root, script), ...args], { cwd: root, stdio: 'inherit' })

run('scripts/native.mjs')
rmSync(join(root, 'dist'), { recursive: true, force: true })

const common = {
  cwd: root,
  platform: 'node',
  resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
  logLevel: 'warn',
}
// The data plane is a bundle of its own, with every module hoisted into one scope and no dependency inside.
await build({ ...common, input: { worker: 'src/worker.ts' }, external: [/^node:/], output: { dir: 'dist', format: 'esm', entryFileNames: '[name].js', sourcemap: true } })
await build({
  ...common,
  input: { cli: 'src/cli/main.ts', index: 'src/index.ts', wire: 'src/stack/wire/index.ts', policy: 'src/policy/index.ts', sockets: 'src/sockets/index.ts', testing: 'src/testing/index.ts' },
  external: [/^node:/, /^[^./]/],
  output: { dir: 'dist', format: 'esm', entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js', sourcemap: true },
})
chmodSync(join(root, 'dist', 'cli.js'), 0o755)
run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.types.json')

const { configJsonSchema } = await import(pathToFileURL(join(root, 'dist', 'index.js')).href)
writeFileSync(join(root, 'dist', 'tsnat.schema.json'), `${JSON.stringify(configJsonSchema(), null, 2)}\n`)

// Builds native/build/Release/tsnat.node with node-gyp, unless it is newer than its sources already.
// Headers that came with Node itself are used when they are there, so that nothing has to be downloaded.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const source = join(root, 'native')
const product = join(source, 'build', 'Release', 'tsnat.node')

const sources = readdirSync(source).filter((name) => /\.(c|h|gyp)$/.test(name)).map((name) => join(source, name))
const newest = Math.max(...sources.map((path) => statSync(path).mtimeMs))
if (existsSync(product) && statSync(product).mtimeMs >= newest) process.exit(0)

const prefix = dirname(dirname(process.execPath))
const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : []
const nodeGyp = process.env.npm_config_node_gyp ?? createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js')
const { status, stdout, stderr, error } = spawnSync(process.execPath, [nodeGyp, 'rebuild', '--silent', `--directory=${source}`, ...headers], { encoding: 'utf8' })
if (status !== 0) {
  console.error(stdout ?? '', stderr ?? '', error ?? '')
  console.error('tsnat: the native part did not compile. It needs a C compiler and make (Debian: apt-get install build-essential python3).')
  process.exit(1)
}

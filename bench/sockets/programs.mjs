// The programs that run in the namespaces, bundled with the code of the stack that they use, each into one file.
import { join } from 'node:path'
import { build } from 'rolldown'
import { root } from '../gateway/tools.mjs'

const folder = join(root, 'dist', 'bench')
const names = ['host', 'path']

export const program = (name) => join(folder, `${name}.mjs`)

export const buildPrograms = async () => {
  await build({
    cwd: root,
    input: Object.fromEntries(names.map((name) => [name, `bench/sockets/programs/${name}.ts`])),
    platform: 'node',
    external: [/^node:/],
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
    output: { dir: folder, format: 'esm', entryFileNames: '[name].mjs', chunkFileNames: 'chunks/[name]-[hash].mjs', sourcemap: true },
    logLevel: 'warn',
  })
}

/** A running host.mjs in a namespace, and its commands. */
export class Host {
  constructor(namespace, options, env = {}) {
    const args = ['--expose-gc', program('host'), JSON.stringify(options)]
    this.process = namespace.spawn(globalThis.process.execPath, args, { interactive: true, env })
    this.ready = this.process.waitFor(/^ready$/m, 15_000)
    this.number = 0
  }

  /** Runs a command; resolves to its answer. */
  async ask(command, timeout = 60_000) {
    const number = ++this.number
    this.process.write(`${command}\n`)
    const [, answer] = await this.process.waitFor(new RegExp(`^${number} (.*)$`, 'm'), timeout)
    return JSON.parse(answer)
  }
}

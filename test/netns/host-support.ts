/** Namespaces for the tests of src/host, made and looked at with iproute2: an eye that is not tsnat's own. */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'
import { afterAll } from 'vitest'
import { openNamespace } from '../../src/host/namespace.js'
import type { NetworkNamespace } from '../../src/host/namespace.js'

let counter = 0

export class TestNamespace {
  readonly name = `tsnat-t-${process.pid}-${++counter}`
  readonly namespace: NetworkNamespace

  constructor() {
    execFileSync('ip', ['netns', 'add', this.name])
    this.namespace = openNamespace(this.name)
    this.run('ip link set lo up')
  }

  /** Runs a command line (no quoting) in the namespace. @throws with its standard error */
  run(command: string): string {
    const [program = '', ...words] = command.split(' ')
    return execFileSync('ip', ['netns', 'exec', this.name, program, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  }

  /** As {@link run}, with a standard input. */
  runInput(command: string, input: string): string {
    return execFileSync('ip', ['netns', 'exec', this.name, ...command.split(' ')], { encoding: 'utf8', input })
  }

  /** Several command lines. */
  script(...commands: string[]): void {
    for (const command of commands) this.run(command)
  }

  /** Everything that tsnat may change here, as text. IPv6 and counters that change by themselves are left out. */
  snapshot(): string {
    return [
      this.run('ip -4 rule'),
      this.run('ip -4 route show table all'),
      this.run('ip -4 addr').replaceAll(/(valid_lft|preferred_lft) \S+/g, ''),
      this.run('sysctl -a -r ^net\\.ipv4').replaceAll(/^net\.ipv4\.(tcp_fastopen_key|tcp_mem|udp_mem).*\n/gm, ''),
    ].join('\n')
  }

  /** @param peer the other end, in the other namespace */
  veth(name: string, other: TestNamespace, peer: string): void {
    this.run(`ip link add ${name} type veth peer name ${peer} netns ${other.name}`)
    this.run(`ip link set ${name} up`)
    other.run(`ip link set ${peer} up`)
  }

  remove(): void {
    this.namespace.close()
    execFileSync('ip', ['netns', 'del', this.name])
  }
}

/** A namespace that is removed when the test file ends. */
export const testNamespace = (): TestNamespace => {
  const made = new TestNamespace()
  afterAll(() => made.remove())
  return made
}

/** Resolves when `check` is true, looking every 5 ms; rejects after the limit with what `describe` says. */
export const until = async (check: () => boolean, describe: () => string = () => '', limitMilliseconds = 20_000): Promise<void> => {
  const deadline = Date.now() + limitMilliseconds
  while (!check()) {
    if (Date.now() > deadline) throw new Error(`not reached in ${limitMilliseconds} ms: ${describe()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const repository = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Bundles a program in TypeScript that imports from `src/…`. The product lies below node_modules, so that it finds the
 * addon and packages.
 */
const bundle = async (source: string): Promise<{ folder: string; product: string }> => {
  const folder = mkdtempSync(join(repository, 'node_modules', '.tsnat-test-'))
  const entry = join(folder, 'program.ts')
  const product = join(folder, 'program.mjs')
  writeFileSync(entry, source.replaceAll("'src/", `'${repository}src/`))
  await build({
    input: entry,
    external: [/^node:/, /^[^./]/],
    platform: 'node',
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
    output: { file: product, format: 'esm' },
    logLevel: 'silent',
  })
  return { folder, product }
}

const words = (where: TestNamespace, product: string): string[] => ['netns', 'exec', where.name, process.execPath, product]

/** Runs a program in the namespace to its end, and gives what it printed. @throws when it fails */
export const runProgram = async (where: TestNamespace, source: string): Promise<string> => {
  const { folder, product } = await bundle(source)
  try {
    return execFileSync('ip', words(where, product), { encoding: 'utf8' })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Starts a program in the namespace, as a process that can be killed, and waits until it has printed `up`. */
export const startProgram = async (where: TestNamespace, source: string): Promise<ChildProcess> => {
  const { folder, product } = await bundle(source)
  const child = spawn('ip', words(where, product), { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { output += chunk.toString() })
  try {
    await until(() => output.includes('up\n') || child.exitCode !== null, () => output)
    if (child.exitCode !== null) throw new Error(`the program ended: ${output}`)
    return child
  } finally {
    rmSync(folder, { recursive: true })
  }
}

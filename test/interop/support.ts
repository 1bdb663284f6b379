/**
 * The stage of the interop tests: three namespaces, and the built command line as the gateway in the middle.
 *
 *     router:  client 192.168.1.2 ── eth1 gateway eth0 203.0.113.1 ── eth0 203.0.113.9 server     up --capture iif=eth1
 *     inside:  client 10.77.0.2 tun0 ┈┈┈ gateway eth0 203.0.113.1 ── eth0 203.0.113.9 server      up --netns CLIENT
 *
 * The server has no route back to the client: what comes back was translated.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { createControlClient } from '../../src/api/client.js'
import type { FlowRecord, GatewayStatus } from '../../src/api/types.js'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace, LabProcess, RunOptions, RunResult, SpawnOptions } from '../../src/testing/lab/index.js'

export const GATEWAY = '203.0.113.1'
export const SERVER = '203.0.113.9'
/** tsnat's own address on the LAN. */
export const TSNAT = '10.77.0.1'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const cli = join(root, 'dist', 'cli.js')

export interface BedOptions {
  /** Where the TUN is: beside the WAN, with the client behind a link (default), or in the client's namespace. */
  lan?: 'router' | 'inside'
  /** Bytes, of the link between client and gateway; 1500 when absent. */
  lanMtu?: number
  /** Bytes, of the link between gateway and server; 1500 when absent. */
  wanMtu?: number
  /** Interfaces without Ethernet headers between gateway and server. */
  headerless?: boolean
}

/** @throws Error naming the programs that are not there */
const requirePrograms = (names: readonly string[]): void => {
  const path = (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin')
  const missing = names.filter((name) => !path.some((directory) => existsSync(join(directory, name))))
  if (missing.length > 0) throw new Error(`these tests need programs that are not installed: ${missing.join(', ')}`)
}

export class Bed {
  readonly lab: Lab
  readonly client: LabNamespace
  readonly gateway: LabNamespace
  readonly server: LabNamespace
  /** The client's address. */
  readonly address: string
  readonly #isInside: boolean
  readonly #runs: string
  #up: LabProcess | undefined

  private constructor(lab: Lab, client: LabNamespace, gateway: LabNamespace, server: LabNamespace, isInside: boolean) {
    this.lab = lab
    this.client = client
    this.gateway = gateway
    this.server = server
    this.#isInside = isInside
    this.address = isInside ? '10.77.0.2' : '192.168.1.2'
    this.#runs = lab.temporaryDirectory()
  }

  /** @param programs that the tests run; it is an error when one is missing */
  static async build(programs: readonly string[], { lan = 'router', lanMtu = 1500, wanMtu = 1500, headerless = false }: BedOptions = {}): Promise<Bed> {
    requirePrograms(['setpriv', 'ip', ...programs])
    if (!existsSync(cli)) throw new Error(`${cli} does not exist: run "npm run build" first`)
    const lab = await Lab.create(`interop${process.pid}`)
    try {
      const [client, gateway, server] = [await lab.namespace('client'), await lab.namespace('gateway'), await lab.namespace('server')]
      if (lan === 'router') {
        await lab.link(client, { name: 'eth0', address: '192.168.1.2/24', mtu: lanMtu }, gateway, { name: 'eth1', address: '192.168.1.1/24', mtu: lanMtu })
        await client.route('default', '192.168.1.1')
      }
      const ends = [{ name: 'eth0', address: `${GATEWAY}/24`, mtu: wanMtu }, { name: 'eth0', address: `${SERVER}/24`, mtu: wanMtu }] as const
      if (headerless) await lab.line(gateway, ends[0], server, ends[1])
      else await lab.link(gateway, ends[0], server, ends[1])
      await gateway.route('default', headerless ? undefined : SERVER, { device: 'eth0' })
      return new Bed(lab, client, gateway, server, lan === 'inside')
    } catch (error) {
      await lab.close()
      throw error
    }
  }

  /** Starts the gateway; resolves when packets flow. */
  async up(...flags: string[]): Promise<void> {
    const where = this.#isInside ? ['--netns', this.client.path] : ['--capture', 'iif=eth1']
    this.#up = this.gateway.spawn(process.execPath, [cli, 'up', '--wan', 'eth0', '--lan', 'tun0', '--log-level', 'warn', ...where, ...flags], this.environment)
    await this.#up.waitFor(/^ready$/m, 15_000)
  }

  /** Stops the gateway in an orderly way and sees that it had nothing to complain about, or just what is expected. */
  async stop(complaints = /^$/): Promise<void> {
    this.#up!.kill('SIGINT')
    const { code, stderr } = await this.#up!.finish({ timeout: 15_000 })
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(complaints) as unknown })
  }

  /** What a command needs to find this gateway. */
  get environment(): SpawnOptions {
    return { env: { TSNAT_RUN_DIR: this.#runs } }
  }

  /** Runs a subcommand of tsnat beside the gateway to its end. */
  async tsnat(...args: string[]): Promise<RunResult> {
    return await this.gateway.run(process.execPath, [cli, ...args], { ...this.environment, timeout: 30_000, check: true })
  }

  /** Starts a subcommand of tsnat that runs until it is killed. */
  spawnTsnat(...args: string[]): LabProcess {
    return this.gateway.spawn(process.execPath, [cli, ...args], this.environment)
  }

  status(): Promise<GatewayStatus> {
    return createControlClient('default', join(this.#runs, 'default', 'control.sock')).status()
  }

  /** Flows, filtered by options of `tsnat conntrack`. */
  async flows(...filter: string[]): Promise<FlowRecord[]> {
    return JSON.parse((await this.tsnat('conntrack', '-L', '--json', ...filter)).stdout) as FlowRecord[]
  }

  async flowCount(): Promise<number> {
    return Number((await this.tsnat('conntrack', '-C')).stdout)
  }

  /** Closes and removes everything. */
  async close(): Promise<void> {
    await this.lab.close()
  }
}

/** Runs a program to its end, which must be a good one; resolves with what it printed. */
export const output = async (where: LabNamespace, command: string, args: readonly string[], options: RunOptions = {}): Promise<string> =>
  (await where.run(command, args, { check: true, ...options })).stdout

/**
 * Options of ping for so many requests, all at once. It waits for the answers for the interval between requests, here five seconds,
 * and ends when it has them all; with a short interval it would call late answers lost.
 */
export const requests = (count: number): string[] => ['-c', String(count), '-l', String(count), '-i', '5', '-W', '5']

/** Compiles one of the C programs in this directory; returns the path of what came out. */
export const compile = (source: string, directory: string): string => {
  const program = join(directory, source.replace(/\.c$/, ''))
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, join(root, 'test', 'interop', source)], { stdio: ['ignore', 'ignore', 'inherit'] })
  return program
}

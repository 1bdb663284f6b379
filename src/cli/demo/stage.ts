/**
 * Where the demo plays: three namespaces of its own, and the processes in them.
 *
 *     client 192.168.1.2 ── eth1 gateway eth0 203.0.113.1 ── 203.0.113.9 server
 *
 * The server has no route to 192.168.1.0/24 while tsnat runs: what comes back came back by translation.
 */
import { ExitCode, TsnatError } from '../../errors.js'
import { Lab } from '../../testing/lab/index.js'
import type { LabNamespace, LabProcess } from '../../testing/lab/index.js'
import type { Task, TaskResult } from './roles.js'

export const CLIENT = '192.168.1.2'
export const GATEWAY = '203.0.113.1'
export const SERVER = '203.0.113.9'
const LAN = '192.168.1.0/24'

/** The command that started this process, to be started again. */
const program = (): [command: string, script: string] => [process.execPath, process.argv[1] as string]

const asExitCode = (code: number | null): ExitCode => Object.values(ExitCode).find((each) => each === code) ?? ExitCode.failure

export interface Gateway {
  /** Milliseconds from the start of its process to "ready". */
  readonly startup: number
  /** Stops it with SIGINT; resolves with its exit code. */
  stop(): Promise<number | null>
}

export class Stage {
  readonly #lab: Lab
  readonly client: LabNamespace
  readonly gateway: LabNamespace
  readonly #server: LabNamespace

  private constructor(lab: Lab, client: LabNamespace, gateway: LabNamespace, server: LabNamespace) {
    this.#lab = lab
    this.client = client
    this.gateway = gateway
    this.#server = server
  }

  static async build(): Promise<Stage> {
    const lab = await Lab.create('tsnat-demo')
    try {
      const [client, gateway, server] = [await lab.namespace('client'), await lab.namespace('gateway'), await lab.namespace('server')]
      await lab.link(client, { name: 'eth0', address: `${CLIENT}/24` }, gateway, { name: 'eth1', address: '192.168.1.1/24' })
      await lab.link(gateway, { name: 'eth0', address: `${GATEWAY}/24` }, server, { name: 'eth0', address: `${SERVER}/24` })
      await client.route('default', '192.168.1.1')
      await gateway.route('default', SERVER)
      return new Stage(lab, client, gateway, server)
    } catch (error) {
      await lab.close()
      throw error
    }
  }

  #play(namespace: LabNamespace, role: string, seconds = 1): LabProcess {
    const [command, script] = program()
    return namespace.spawn(command, [script, 'demo', '--as', role, '--address', SERVER, '--seconds', String(seconds)])
  }

  async serve(): Promise<void> {
    await this.#play(this.#server, 'server').waitFor(/^serving$/m)
  }

  /** Lets the client do something, in a process of its own. @throws TsnatError LAB_PROCESS with its output when it fails */
  async task<T extends Task>(task: T, seconds?: number): Promise<TaskResult<T>> {
    const { stdout } = await this.#play(this.client, task, seconds).finish({ timeout: 30_000, check: true })
    return JSON.parse(stdout) as TaskResult<T>
  }

  /** Runs something while the kernel forwards between client and server without translation. */
  async directly<T>(work: () => Promise<T>): Promise<T> {
    this.gateway.sysctl('net.ipv4.ip_forward', 1)
    await this.#server.route(LAN, GATEWAY)
    try {
      return await work()
    } finally {
      await this.#server.deleteRoute(LAN, GATEWAY)
      this.gateway.sysctl('net.ipv4.ip_forward', 0)
    }
  }

  /** Starts `tsnat up` in the gateway's namespace. Its control socket is where TSNAT_RUN_DIR of this process then points. */
  async startGateway(): Promise<Gateway> {
    process.env['TSNAT_RUN_DIR'] = this.#lab.temporaryDirectory()
    const [command, script] = program()
    const begin = performance.now()
    const running = this.gateway.spawn(command, [script, 'up', '--wan', 'eth0', '--lan', 'tun0', '--capture', 'iif=eth1', '--log-level', 'warn'])
    try {
      await running.waitFor(/^ready$/m, 15_000)
    } catch (error) {
      if (!running.ended) throw error
      // What it says about the machine, and its exit code, are what the user needs to see.
      const { code, stderr } = await running.done
      throw new TsnatError(`the gateway did not start:\n${stderr.trimEnd()}`, { code: 'DEMO_GATEWAY', exitCode: asExitCode(code) })
    }
    const startup = performance.now() - begin
    void running.done.then(({ code, stderr }) => { if (code !== 0 && code !== null) process.stderr.write(stderr) })
    return {
      startup,
      stop: async () => {
        running.kill('SIGINT')
        return (await running.finish({ timeout: 10_000 })).code
      },
    }
  }

  async close(): Promise<void> {
    await this.#lab.close()
  }
}

/** @throws TsnatError DEMO_PROGRAM when this process was not started from the command line's script */
export const checkProgram = (): void => {
  if (process.argv[1] === undefined) {
    throw new TsnatError('the demo starts "tsnat" again and does not know where it is', { code: 'DEMO_PROGRAM', hint: 'run it as "tsnat demo" or "node dist/cli.js demo"' })
  }
}

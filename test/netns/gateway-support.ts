/**
 * The real program between real kernels: a client and a server in namespaces of their own, and `node dist/cli.js up` on a
 * host between them.
 *
 *     client 192.168.1.2 ── eth1 gateway eth0 203.0.113.1 ── 203.0.113.9 eth0 server
 *
 * The server, which is 198.51.100.1 besides, has no route to 192.168.1.0/24: what comes back came back by translation.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createControlClient } from '../../src/api/client.js'
import type { FlowRecord, GatewayStatus } from '../../src/api/types.js'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace, LabProcess, RunOptions, RunResult } from '../../src/testing/lab/index.js'

export const CLI = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'cli.js')
export const CLIENT = '192.168.1.2'
export const GATEWAY = '203.0.113.1'
export const SERVER = '203.0.113.9'
/** The server's too, not on the link: only the default route leads there. */
export const REMOTE = '198.51.100.1'

/** Settings that the kernel changes by itself, or that are secrets. */
const RESTLESS = /^net\.ipv[46]\.(tcp_fastopen_key|tcp_mem|udp_mem|conf\..*\.stable_secret|neigh\..*|route\..*).*\n/gm

/** Resolves when `check` gives something true, and with it; looks every 20 ms. @throws after the limit, with what `describe` says */
export const until = async <T>(check: () => T | Promise<T>, describe: () => unknown = () => '', milliseconds = 20_000): Promise<T> => {
  const deadline = performance.now() + milliseconds
  for (;;) {
    const found = await check()
    if (found) return found
    if (performance.now() > deadline) throw new Error(`not reached in ${milliseconds} ms: ${String(await describe())}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** What tcpdump prints when it is asked by a signal: how many packets it has written, and how many the kernel has for it. */
const COUNTS = /(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped by kernel/

/** A running tcpdump, of an interface that is not `lo`. */
export class Capture {
  readonly #namespace: LabNamespace
  readonly #file: string
  readonly #process: LabProcess

  private constructor(namespace: LabNamespace, file: string, process: LabProcess) {
    this.#namespace = namespace
    this.#file = file
    this.#process = process
  }

  static async start(namespace: LabNamespace, file: string, device = 'eth0'): Promise<Capture> {
    const process = namespace.spawn('tcpdump', ['-Z', 'root', '--immediate-mode', '-U', '-B', '16384', '-s', '128', '-n', '-i', device, '-w', file])
    await process.waitFor(/listening on/)
    return new Capture(namespace, file, process)
  }

  /** [written, received] by now; the second without what was lost. Infinitely many when tcpdump has ended. */
  async #counts(): Promise<[number, number]> {
    const { length } = this.#process.stderr
    this.#process.kill('SIGUSR1')
    const find = (): RegExpExecArray | null => COUNTS.exec(this.#process.stderr.slice(length))
    await until(() => find() !== null || this.#process.ended, () => this.#process.stderr)
    const [, written, received, lost] = find() ?? []
    return written === undefined ? [Infinity, Infinity] : [Number(written), Number(received) - Number(lost)]
  }

  /** On a busy machine tcpdump may be late: waits until the packets that came before are in the file. */
  async #catchUp(): Promise<void> {
    if (this.#process.ended) return
    const [, received] = await this.#counts()
    await until(async () => (await this.#counts())[0] >= received)
  }

  /** Ends it. Packets that came until now are in the file. */
  async stop(): Promise<void> {
    await this.#catchUp()
    this.#process.kill('SIGINT')
    await this.#process.done
  }

  /** Lines of the packets that match, of those that came until now. @param filter as pcap-filter(7) has it */
  async packets(filter = ''): Promise<string[]> {
    await this.#catchUp()
    const { stdout } = await this.#namespace.run('tcpdump', ['-Z', 'root', '-n', '-r', this.#file, ...(filter === '' ? [] : [filter])], { check: true })
    return stdout.split('\n').filter(Boolean)
  }
}

export interface GatewayLabOptions {
  /** Put a switch (a bridge) between gateway and server, so that more hosts can be on the WAN. */
  withSwitch?: boolean
}

export class GatewayLab {
  readonly lab: Lab
  readonly client: LabNamespace
  readonly gateway: LabNamespace
  readonly server: LabNamespace
  /** TSNAT_RUN_DIR of every program that `tsnat` and `up` start. */
  readonly runs: string
  readonly #captures: string
  #captureCount = 0
  #switch: LabNamespace | undefined

  private constructor(lab: Lab, [client, gateway, server]: [LabNamespace, LabNamespace, LabNamespace]) {
    this.lab = lab
    this.client = client
    this.gateway = gateway
    this.server = server
    this.runs = lab.temporaryDirectory()
    this.#captures = lab.temporaryDirectory()
  }

  static async create(options: GatewayLabOptions = {}): Promise<GatewayLab> {
    const lab = await Lab.create(`life${process.pid}`)
    const made = new GatewayLab(lab, [await lab.namespace('client'), await lab.namespace('gateway'), await lab.namespace('server')])
    const { client, gateway, server } = made
    await lab.link(client, { name: 'eth0', address: `${CLIENT}/24` }, gateway, { name: 'eth1', address: '192.168.1.1/24' })
    if (options.withSwitch === true) {
      made.#switch = await lab.namespace('switch')
      await made.ip(made.#switch, 'link add br0 type bridge')
      await made.ip(made.#switch, 'link set br0 up')
      await made.plug(gateway, 'eth0', `${GATEWAY}/24`)
      await made.plug(server, 'eth0', `${SERVER}/24`)
    } else {
      await lab.link(gateway, { name: 'eth0', address: `${GATEWAY}/24` }, server, { name: 'eth0', address: `${SERVER}/24` })
    }
    await client.route('default', '192.168.1.1')
    await gateway.route('default', SERVER)
    await made.ip(server, `addr add ${REMOTE}/32 dev lo`)
    // Every port-unreachable and every RST is to be seen, not only as many as the kernel sends by default.
    for (const namespace of [gateway, server]) namespace.sysctl('net.ipv4.icmp_ratelimit', 0)
    return made
  }

  /** iproute2, with its words separated by spaces. @throws with its output when it fails */
  async ip(namespace: LabNamespace, words: string): Promise<string> {
    return (await namespace.run('ip', words.split(' '), { check: true })).stdout
  }

  /**
   * Deletes the neighbours that the namespace knows now on a device. Whoever needs one asks for it again at once, as tsnat does,
   * so an empty table is not waited for (`ip neigh flush` does, and gives up).
   */
  async forgetNeighbours(namespace: LabNamespace, device = 'eth0'): Promise<void> {
    const known = JSON.parse(await this.ip(namespace, `-json neigh show dev ${device}`) || '[]') as { dst: string }[]
    // One that is gone meanwhile is forgotten as well.
    for (const { dst } of known) await namespace.run('ip', ['neigh', 'del', dst, 'dev', device])
  }

  /** Connects an interface, made here, to the switch. */
  async plug(namespace: LabNamespace, device: string, address: string, mac?: string): Promise<void> {
    const port = `p-${namespace.name.split('-').at(-1)}-${device}`
    await this.lab.link(namespace, { name: device, address, ...(mac === undefined ? {} : { mac }) }, this.#switch!, { name: port })
    await this.ip(this.#switch!, `link set ${port} master br0`)
  }

  /** Pulls a cable at the switch, or puts it back. @param port namespace and interface, as `gateway-eth0` */
  async cable(port: string, state: 'up' | 'down'): Promise<void> {
    await this.ip(this.#switch!, `link set p-${port} ${state}`)
  }

  get environment(): Record<string, string> {
    return { TSNAT_RUN_DIR: this.runs }
  }

  /** Runs a command of tsnat on the gateway host to its end. */
  tsnat(...args: string[]): Promise<RunResult> {
    return this.run(this.gateway, process.execPath, [CLI, ...args], { env: this.environment, timeout: 30_000 })
  }

  /** As the namespace's own `run`, with 30 seconds at most. */
  run(namespace: LabNamespace, command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return namespace.run(command, args, { timeout: 30_000, ...options })
  }

  /** Words after `node`: `tsnat up --wan eth0 --capture iif=eth1`, or as `args` say. */
  upCommand(...args: string[]): string[] {
    const gives = (...flags: string[]): boolean => args.some((one) => flags.includes(one))
    const wan = gives('--wan', '--config') ? [] : ['--wan', 'eth0']
    const capture = gives('--capture', '--netns', '--config') ? [] : ['--capture', 'iif=eth1']
    return [CLI, 'up', ...wan, ...capture, ...args]
  }

  /** Starts a gateway and does not wait. */
  start(...args: string[]): LabProcess {
    return this.gateway.spawn(process.execPath, this.upCommand(...args), { env: this.environment })
  }

  /** Starts a gateway that takes what arrives from the client, or as `args` say, and waits until packets flow. */
  async up(...args: string[]): Promise<LabProcess> {
    const started = this.start(...args)
    await started.waitFor(/^ready$/m, 20_000)
    return started
  }

  status(name = 'default'): Promise<GatewayStatus> {
    return createControlClient(name, join(this.runs, name, 'control.sock')).status()
  }

  /** Waits for a status that pleases. */
  untilStatus(check: (status: GatewayStatus) => boolean, milliseconds?: number): Promise<GatewayStatus> {
    let last: GatewayStatus | undefined
    return until(async () => {
      last = await this.status()
      return check(last) ? last : undefined
    }, () => JSON.stringify(last), milliseconds) as Promise<GatewayStatus>
  }

  async flows(name = 'default'): Promise<FlowRecord[]> {
    const found: FlowRecord[] = []
    for await (const flow of createControlClient(name, join(this.runs, name, 'control.sock')).flows({})) found.push(flow)
    return found
  }

  /** Everything on a namespace that tsnat may change, as lines of text. */
  async snapshot(namespace = this.gateway): Promise<string[]> {
    const sysctls = await namespace.run('sysctl', ['-a', '-r', '^net\\.ipv[46]\\.'], { check: true })
    const ruleset = await namespace.run('nft', ['list', 'ruleset'], { check: true })
    return [...await namespace.snapshot(), ...sysctls.stdout.replaceAll(RESTLESS, '').split('\n'), ruleset.stdout]
  }

  /** Log of a detached instance. */
  log(name = 'default'): string {
    return readFileSync(join(this.runs, name, 'log'), 'utf8')
  }

  /** Names in the run directory: what instances left there. */
  left(): string[] {
    return existsSync(this.runs) ? readdirSync(this.runs) : []
  }

  capture(namespace = this.server, device = 'eth0'): Promise<Capture> {
    return Capture.start(namespace, join(this.#captures, `${++this.#captureCount}.pcap`), device)
  }

  async close(): Promise<void> {
    // A detached gateway is no child of ours; the laboratory does not know it.
    for (const name of this.left()) await this.tsnat('down', '--name', name)
    await this.lab.close()
  }
}

/** Answers HTTP on port `process.argv[1]` with the address and port of whoever asks. */
const HTTP_SERVER = `
  import { createServer } from 'node:http'
  createServer(({ socket }, answer) => answer.end(socket.remoteAddress + ' ' + socket.remotePort)).listen(Number(process.argv[1]), '0.0.0.0', () => console.log('serving'))`

/** A web server that says who asked. */
export const serveHttp = async (namespace: LabNamespace, port = 80): Promise<LabProcess> => {
  const server = namespace.node(HTTP_SERVER, [String(port)])
  await server.waitFor(/serving/)
  return server
}

/** Fetches a page by curl; resolves with its text, or with `error N` (curl's exit code). */
export const fetchPage = async (namespace: LabNamespace, url: string, ...options: string[]): Promise<string> => {
  const { code, stdout } = await namespace.run('curl', ['-s', '--max-time', '5', ...options, url])
  return code === 0 ? stdout : `error ${code}`
}

/** Echoes on TCP and UDP port `process.argv[1]` of address `process.argv[2]`; a TCP peer that sends "talk" hears from it every 20 ms, whatever comes. */
const ECHO_SERVER = `
  import { createServer } from 'node:net'
  import { createSocket } from 'node:dgram'
  const port = Number(process.argv[1])
  const address = process.argv[2]
  createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data) => {
      socket.write(data)
      if (String(data).includes('talk')) setInterval(() => socket.write('word'), 20)
    })
  }).listen(port, address, () => {
    const udp = createSocket('udp4')
    udp.on('error', () => {})
    udp.on('message', (data, { port, address }) => {
      udp.send(data, port, address)
      if (String(data).includes('talk')) setInterval(() => udp.send('word', port, address), 20)
    })
    udp.bind(port, address, () => console.log('serving'))
  })`

export const serveEcho = async (namespace: LabNamespace, address = '0.0.0.0', port = 7): Promise<LabProcess> => {
  const server = namespace.node(ECHO_SERVER, [String(port), address])
  await server.waitFor(/serving/)
  return server
}

/** One TCP connection and one UDP conversation that go on for ever, a message every 20 ms; prints what it hears and what goes wrong. */
const TALKER = `
  import { connect } from 'node:net'
  import { createSocket } from 'node:dgram'
  const [, address, port, word] = process.argv
  const socket = connect(Number(port), address, () => {
    console.log('connected from ' + socket.localPort)
    setInterval(() => socket.write(word), 20)
  })
  socket.on('data', () => console.log('tcp'))
  socket.on('error', (error) => console.log('error ' + error.code))
  const udp = createSocket('udp4')
  udp.on('message', () => console.log('udp'))
  udp.on('error', (error) => console.log('udp-error ' + error.code))
  udp.connect(Number(port), address, () => setInterval(() => udp.send(word, () => {}), 20))
  // A connection that is gone ends with its error; the process goes on for its UDP side.
  socket.on('close', () => console.log('closed'))`

export class Talker {
  readonly process: LabProcess

  private constructor(process: LabProcess) {
    this.process = process
  }

  static async start(namespace: LabNamespace, address: string, port = 7, word = 'x'): Promise<Talker> {
    const talker = new Talker(namespace.node(TALKER, [address, String(port), word]))
    await talker.hears()
    return talker
  }

  #count(line: string): number {
    return this.process.stdout.split('\n').filter((one) => one === line).length
  }

  /** Something is heard on both from now on. @throws after `milliseconds`, with what was printed last */
  async hears(milliseconds = 20_000): Promise<void> {
    for (const kind of ['tcp', 'udp']) {
      const before = this.#count(kind)
      await until(() => this.#count(kind) > before, () => `${kind}: ${this.process.stdout.slice(-200)}`, milliseconds)
    }
  }

  /** What went wrong so far. */
  get errors(): string[] {
    return this.process.stdout.split('\n').filter((line) => line.includes('error') || line === 'closed')
  }

  async stop(): Promise<void> {
    this.process.kill()
    await this.process.done
  }
}

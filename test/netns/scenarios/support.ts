/**
 * Scenarios as articles tell them: real hosts, and the commands word for word, with `tsnat` before each. `tsnat` is a command of the
 * gateway host's shell here.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createControlClient } from '../../../src/api/client.js'
import type { FlowRecord, GatewayStatus } from '../../../src/api/types.js'
import { Lab } from '../../../src/testing/lab/index.js'
import type { LabNamespace, LabProcess, RunResult } from '../../../src/testing/lab/index.js'
import { Capture, CLI, until } from '../gateway-support.js'

/**
 * Tells whoever comes, by TCP or UDP, who he is and where he came to: `address port address port`. A TCP connection stays open until
 * its other end closes it. Arguments: port, addresses.
 */
const TELLER = `
  import { createServer } from 'node:net'
  import { createSocket } from 'node:dgram'
  const [, port, ...addresses] = process.argv
  let open = 0
  for (const own of addresses) {
    const told = (remote) => remote.join(' ') + ' ' + own + ' ' + port
    createServer((socket) => {
      socket.on('error', () => {})
      socket.write(told([socket.remoteAddress, socket.remotePort]))
    }).listen({ port: Number(port), host: own, backlog: 4096 }, () => {
      const udp = createSocket({ type: 'udp4', recvBufferSize: 1 << 22 })
      udp.on('error', () => {})
      udp.on('message', (_, { address, port: from }) => udp.send(told([address, from]), from, address))
      udp.bind(Number(port), own, () => { if (++open === addresses.length) console.log('serving') })
    })
  }`

/** Does what lines of JSON ask for, and prints what came of it; see {@link Question}. */
const ASKER = `
  import { createInterface } from 'node:readline'
  import { connect } from 'node:net'
  import { createSocket } from 'node:dgram'
  const kept = new Map()
  const ask = ({ id, protocol, host, port, local, from, keep, tries = 1, wait = 3000 }) => {
    let isDone = false
    const finish = (answer) => {
      if (isDone) return
      isDone = true
      clearTimeout(timer)
      console.log(JSON.stringify({ id, ...answer }))
    }
    const timer = setTimeout(() => finish({ error: 'silence' }), wait)
    if (protocol === 'tcp') {
      const socket = connect({ host, port, localPort: local, localAddress: from })
      socket.on('data', (data) => {
        finish({ seen: String(data), port: socket.localPort })
        if (keep === undefined) socket.destroy()
        else kept.set(keep, socket)
      })
      socket.on('error', ({ code }) => finish({ error: code }))
      return
    }
    const socket = createSocket('udp4')
    const close = () => { try { socket.close() } catch {} }
    socket.on('error', ({ code }) => { finish({ error: code }); close() })
    socket.on('message', (data) => { finish({ seen: String(data), port: socket.address().port }); close() })
    socket.bind(local ?? 0, from, () => socket.connect(port, host, (error) => {
      if (error) return finish({ error: error.code })
      for (let i = 0; i < tries; i++) socket.send('who am I?', (failed) => { if (failed) finish({ error: failed.code }) })
    }))
    setTimeout(close, wait + 100)
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const question = JSON.parse(line)
    if (question.close === undefined) { ask(question); continue }
    kept.get(question.close)?.destroy()
    kept.delete(question.close)
    console.log(JSON.stringify({ id: question.id }))
  }`

export interface Question {
  readonly protocol: 'tcp' | 'udp'
  readonly host: string
  readonly port: number
  /** The own port and address; chosen by the kernel when absent. */
  readonly local?: number
  readonly from?: string
  /** TCP: the connection stays open, under this name. */
  readonly keep?: string
  /** Milliseconds until "silence"; 3000 when absent. */
  readonly wait?: number
}

export interface Answer {
  /** What the server tells: who it saw, and which of its own addresses it was asked at. */
  readonly seen?: string
  /** The own port. */
  readonly port?: number
  /** ECONNREFUSED and so on, or `silence`. */
  readonly error?: string
}

/** As the server saw it. */
export const sourceOf = ({ seen, error }: Answer): { address: string; port: number } => {
  const [address = String(error), port = '0'] = (seen ?? '').split(' ').filter(Boolean)
  return { address, port: Number(port) }
}
/** `address:port` of the server that answered, or the error. */
export const serverOf = ({ seen, error }: Answer): string => (seen === undefined ? String(error) : seen.split(' ').slice(2).join(':'))

/** A host that asks tellers. */
export class Asker {
  readonly namespace: LabNamespace
  readonly #process: LabProcess
  readonly #answers = new Map<number, Answer>()
  #serial = 0
  #read = 0

  constructor(namespace: LabNamespace) {
    this.namespace = namespace
    this.#process = namespace.node(ASKER, [], { interactive: true })
  }

  async ask(question: Question): Promise<Answer> {
    return this.#send(question)
  }

  /** Closes a connection that was kept. */
  async close(name: string): Promise<void> {
    await this.#send({ close: name })
  }

  /** Every line of a ping that was answered, or that an error came for. */
  async ping(host: string, ...options: string[]): Promise<string[]> {
    const { stdout } = await this.namespace.run('ping', ['-n', '-c', '1', '-W', '2', ...options, host], { timeout: 20_000 })
    return stdout.split('\n').filter((line) => /icmp_seq/.test(line))
  }

  async #send(question: object): Promise<Answer> {
    const id = ++this.#serial
    this.#process.write(`${JSON.stringify({ id, ...question })}\n`)
    return until(() => {
      this.#collect()
      return this.#answers.get(id)
    }, () => `${JSON.stringify(question)}: ${this.#process.stderr}`, 20_000) as Promise<Answer>
  }

  #collect(): void {
    const { stdout } = this.#process
    const end = stdout.lastIndexOf('\n') + 1
    if (end <= this.#read) return
    for (const line of stdout.slice(this.#read, end).split('\n').filter(Boolean)) {
      const { id, ...answer } = JSON.parse(line) as Answer & { id: number }
      this.#answers.set(id, answer)
    }
    this.#read = end
  }
}

/** How rules and routes come to the gateway. */
export const WAYS = ['by commands', 'from files', 'from tsnat.yaml'] as const
export type Way = (typeof WAYS)[number]

export interface Policy {
  /** Commands, word for word, `tsnat` and all. */
  readonly commands: readonly string[]
  /** The same in a file of iptables-save. */
  readonly rules?: string
  /** The same in a file for ip -batch. */
  readonly batch?: string
  /** The same in a file of ipset save. */
  readonly sets?: string
}

const indented = (text: string): string => text.split('\n').filter(Boolean).map((line) => `  ${line}\n`).join('')

export class Scenario {
  readonly lab: Lab
  readonly gateway: LabNamespace
  readonly runs: string
  readonly #directory: string
  #captures = 0

  private constructor(lab: Lab, gateway: LabNamespace) {
    this.lab = lab
    this.gateway = gateway
    this.runs = lab.temporaryDirectory()
    this.#directory = lab.temporaryDirectory()
    writeFileSync(join(this.#directory, 'tsnat'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`, { mode: 0o755 })
  }

  static async create(): Promise<Scenario> {
    const lab = await Lab.create(`scen${process.pid}`)
    return new Scenario(lab, await lab.namespace('gateway'))
  }

  get environment(): Record<string, string> {
    return { TSNAT_RUN_DIR: this.runs, PATH: `${this.#directory}:${process.env['PATH'] ?? ''}` }
  }

  /** A command line as typed on the gateway host. */
  shell(line: string): Promise<RunResult> {
    return this.gateway.run('sh', ['-c', line], { env: this.environment, timeout: 30_000, cwd: this.#directory })
  }

  /** The same, which must succeed and say nothing but its output. */
  async typed(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.shell(line)
    if (code !== 0 || stderr !== '') throw new Error(`${line}: exit code ${code}: ${stderr}`)
    return stdout
  }

  /** iproute2 in any namespace. */
  async ip(namespace: LabNamespace, words: string): Promise<void> {
    await namespace.run('ip', words.split(' '), { check: true })
  }

  /** A file that commands of {@link shell} find by its name alone. */
  file(name: string, text: string): string {
    writeFileSync(join(this.#directory, name), text)
    return join(this.#directory, name)
  }

  /** A host with one interface, eth0, on a link of its own with the gateway. */
  async host(name: string, address: string | readonly string[], device: string, gatewayAddress?: string | readonly string[]): Promise<LabNamespace> {
    const made = await this.lab.namespace(name)
    await this.lab.link(made, { name: 'eth0', address }, this.gateway, { name: device, ...(gatewayAddress === undefined ? {} : { address: gatewayAddress }) })
    for (const [key, value] of [['icmp_ratelimit', 0], ['icmp_msgs_per_sec', 100_000]] as const) made.sysctl(`net.ipv4.${key}`, value)
    return made
  }

  /** Starts the gateway with these words after `tsnat up`, and waits until packets flow. */
  async up(words: string): Promise<LabProcess> {
    const started = this.gateway.spawn('sh', ['-c', `exec tsnat up ${words}`], { env: this.environment, cwd: this.#directory })
    await started.waitFor(/^ready$/m, 20_000)
    return started
  }

  /** The gateway with a policy, which comes to it in one of three ways. */
  async upWith(words: string, way: Way, { commands, rules, batch, sets }: Policy): Promise<LabProcess> {
    if (way === 'by commands') {
      const started = await this.up(words)
      for (const command of commands) await this.typed(command)
      return started
    }
    const files = { rules, ipBatch: batch, ipset: sets }
    if (way === 'from files') {
      const flags = [['--rules', 'rules.v4', rules], ['--ip-batch', 'routes.batch', batch], ['--ipset', 'sets.ipset', sets]] as const
      const given = flags.flatMap(([flag, name, text]) => {
        if (text === undefined) return []
        this.file(name, text)
        return [flag, name]
      })
      return this.up([words, ...given].join(' '))
    }
    this.file('tsnat.yaml', Object.entries(files).map(([key, text]) => (text === undefined ? '' : `${key}: |\n${indented(text)}`)).join(''))
    return this.up(`${words} --config tsnat.yaml`)
  }

  get #control() {
    return createControlClient('default', join(this.runs, 'default', 'control.sock'))
  }

  status(): Promise<GatewayStatus> {
    return this.#control.status()
  }

  async flows(): Promise<FlowRecord[]> {
    const found: FlowRecord[] = []
    for await (const flow of this.#control.flows({})) found.push(flow)
    return found
  }

  capture(namespace: LabNamespace, device = 'eth0'): Promise<Capture> {
    return Capture.start(namespace, join(this.#directory, `${++this.#captures}.pcap`), device)
  }

  async close(): Promise<void> {
    await this.shell('tsnat down')
    await this.lab.close()
  }
}

/** Tells on a port of some addresses who comes. */
export const serveTeller = async (namespace: LabNamespace, port: number, ...addresses: string[]): Promise<LabProcess> => {
  const server = namespace.node(TELLER, [String(port), ...addresses])
  await server.waitFor(/serving/)
  return server
}

/** A file of iptables-save with one table. */
export const tableOf = (table: string, ...lines: string[]): string => {
  const chains: Record<string, readonly string[]> = {
    raw: ['PREROUTING', 'OUTPUT'], mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
    nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'], filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  }
  return [`*${table}`, ...chains[table]!.map((chain) => `:${chain} ACCEPT [0:0]`), ...lines, 'COMMIT', ''].join('\n')
}

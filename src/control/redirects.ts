/**
 * The redirectors of a running gateway: their listeners, their rules, and what is told of them.
 *
 * A redirector listens before rules lead anything to it. When it ends, its clients get a RST first, then the rules go; what clients send
 * in between is dropped, and goes its usual way when it is repeated. The routing that TPROXY needs is shared by all of them, and goes with
 * the last.
 */
import { setTimeout } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { PolicyAnswer, PolicyRequest, RedirectLine, RedirectRequest, RedirectStatus } from '../api/types.js'
import { ExitCode, TsnatError } from '../errors.js'
import { REDIRECT_LIMITS } from '../redirect/limits.js'
import { Redirector } from '../redirect/redirector.js'
import { ROUTING, ruleCommands, type RuleCommands, TPROXY_ADDRESS } from '../redirect/rules.js'
import type { RedirectSettings } from '../redirect/settings.js'
import type { SocketApi } from '../redirect/sockets.js'
import { Upstream } from '../redirect/upstream.js'
import { parseUpstream, resolveUpstream, upstreamText } from '../redirect/upstream-address.js'

export interface RedirectsOptions {
  /** Those of the gateway's own stack. */
  readonly sockets: SocketApi
  readonly policy: (request: PolicyRequest) => Promise<PolicyAnswer>
  /** The interface that clients come by, and tsnat's own address there. */
  readonly lan: { readonly name: string; readonly address: string }
  readonly log: Logger
}

interface Running {
  readonly settings: RedirectSettings
  /** Where it listens. */
  readonly address: string
  readonly upstream: string
  readonly redirector: Redirector
  /** null: they are the user's business. */
  readonly rules: RuleCommands | null
  /** Takes back what was added for it, the last first. */
  readonly undo: (() => Promise<void>)[]
  /** Set when it is told to end. */
  ended: Promise<void> | null
  /** When the log was told last of a failure, in milliseconds. */
  told: number
  /** Why the upstream could not be used the last time, until it can be again. */
  error: string | null
}

const ANYWHERE = '0.0.0.0'
/** Milliseconds between two lines of the log about one upstream. */
const LOG_PAUSE = 10_000

export class Redirects {
  readonly #options: RedirectsOptions
  readonly #running = new Map<number, Running>()
  /** Ports of these, and of those that begin. */
  readonly #ports = new Set<number>()
  /** Redirectors that need the routing of TPROXY, and when it is there; null: none does. */
  #tproxies = 0
  #routing: Promise<void> | null = null

  constructor(options: RedirectsOptions) {
    this.#options = options
  }

  /** Of those that run, in the order of their beginning. */
  status(): RedirectStatus[] {
    return [...this.#running.values()].map((one) => this.#statusOf(one))
  }

  /** Begins to redirect; resolves when traffic is taken. @throws TsnatError REDIRECT_PORT, REDIRECT_RULES, UPSTREAM_NAME */
  async start(settings: RedirectSettings): Promise<void> {
    await this.#start(settings)
  }

  /** Redirects until `signal` aborts. The first line comes when traffic is taken, the last one when nothing of it is left. */
  async *follow({ interval, ...settings }: RedirectRequest, signal: AbortSignal): AsyncGenerator<RedirectLine[]> {
    const running = await this.#start(settings)
    try {
      let last = ''
      yield [{ type: 'started', ...this.#statusOf(running) }]
      while (!signal.aborted) {
        await setTimeout(interval * 1000, undefined, { signal }).catch(() => {})
        const status = this.#statusOf(running)
        const text = JSON.stringify(status)
        if (text !== last) yield [{ type: 'status', ...status }]
        last = text
      }
      await this.#stop(running)
      yield [{ type: 'ended', ...this.#statusOf(running) }]
    } finally {
      await this.#stop(running)
    }
  }

  /** Ends all. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.values()].map((one) => this.#stop(one)))
  }

  async #start(settings: RedirectSettings): Promise<Running> {
    const { port } = settings
    if (this.#ports.has(port)) throw portTaken(port)
    this.#ports.add(port)
    try {
      return await this.#begin(settings)
    } catch (error) {
      this.#ports.delete(port)
      throw error
    }
  }

  async #begin(settings: RedirectSettings): Promise<Running> {
    const { sockets, lan } = this.#options
    const { to, by, port, protocols } = settings
    const target = parseUpstream(to)!
    const ip = await resolveUpstream(target.host)
    const address = settings.rules ? (by === 'tproxy' ? TPROXY_ADDRESS : lan.address) : ANYWHERE
    const upstream = new Upstream({ address: target, ip, dialer: sockets, timeout: REDIRECT_LIMITS.dial })
    const redirector = await Redirector.start({
      sockets, upstream, by, address, port, tcp: protocols.includes('tcp'), udp: protocols.includes('udp'),
      onFailure: (error) => this.#failed(port, error),
      onSuccess: () => this.#succeeded(port),
    }).catch((cause: unknown) => Promise.reject(listenError(address, port, cause)))
    const rules = settings.rules ? ruleCommands(settings, lan.name, ip) : null
    const running: Running = { settings, address, upstream: upstreamText(target), redirector, rules, error: null, undo: [], ended: null, told: -Infinity }
    this.#running.set(port, running)
    try {
      await this.#addRules(running)
    } catch (error) {
      await this.#stop(running)
      throw error
    }
    this.#options.log.info({ to: running.upstream, protocols, by, address, port }, 'redirecting')
    return running
  }

  #stop(running: Running): Promise<void> {
    return running.ended ??= this.#end(running)
  }

  async #end(running: Running): Promise<void> {
    const { settings: { port }, redirector } = running
    await redirector.close()
    for (const undo of running.undo.reverse()) await undo()
    this.#running.delete(port)
    this.#ports.delete(port)
  }

  async #addRules(running: Running): Promise<void> {
    const { settings, rules } = running
    if (rules === null) return
    if (settings.by === 'tproxy') {
      await this.#useRouting()
      running.undo.push(() => this.#leaveRouting())
    }
    await this.#must(rules.add)
    running.undo.push(() => this.#undo(rules.remove))
  }

  /** @throws TsnatError; nothing of it is there then */
  async #useRouting(): Promise<void> {
    this.#tproxies++
    this.#routing ??= this.#addRouting()
    try {
      await this.#routing
    } catch (error) {
      this.#tproxies--
      this.#routing = null
      throw error
    }
  }

  async #addRouting(): Promise<void> {
    const added: PolicyRequest[] = []
    for (const { add, remove } of ROUTING) {
      try {
        await this.#must(add)
      } catch (error) {
        await this.#undo(added)
        throw error
      }
      added.unshift(remove)
    }
  }

  async #leaveRouting(): Promise<void> {
    if (--this.#tproxies > 0) return
    this.#routing = null
    await this.#undo(ROUTING.map(({ remove }) => remove))
  }

  async #must(command: PolicyRequest): Promise<void> {
    const { exitCode, errors } = await this.#options.policy(command)
    if (exitCode === 0) return
    throw new TsnatError(`cannot add the rules of the redirector: ${errors.split('\n')[0]}`, { code: 'REDIRECT_RULES', hint: 'add rules of your own, and give --no-rules' })
  }

  /** What somebody has removed already is no matter, and with the gateway everything goes. */
  async #undo(commands: readonly PolicyRequest[]): Promise<void> {
    for (const command of commands) await this.#options.policy(command).catch(() => {})
  }

  #statusOf({ settings: { by, port, protocols }, address, upstream, redirector, error }: Running): RedirectStatus {
    const { tcp, udp } = redirector.counters
    return { to: upstream, protocols, by, address, port, error, tcp: { ...tcp }, udp: { ...udp } }
  }

  #failed(port: number, err: Error): void {
    const running = this.#running.get(port)
    if (running === undefined) return
    running.error = err.message
    const now = performance.now()
    if (now - running.told < LOG_PAUSE) return
    running.told = now
    this.#options.log.warn({ to: running.upstream, reason: err.message }, 'the upstream cannot be used')
  }

  #succeeded(port: number): void {
    const running = this.#running.get(port)
    if (running !== undefined) running.error = null
  }
}

const portTaken = (port: number): TsnatError =>
  new TsnatError(`port ${port} has a redirector already`, { code: 'REDIRECT_PORT', hint: 'choose another one with --port', exitCode: ExitCode.usage })

const listenError = (address: string, port: number, cause: unknown): TsnatError =>
  new TsnatError(`cannot listen on ${address}:${port}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`, {
    code: 'REDIRECT_PORT', hint: 'choose another port with --port', exitCode: ExitCode.config, cause,
  })

/**
 * The gateway: puts the host, the data plane and the control surface together, and takes them apart again.
 *
 *     preflight ─► journal ─► WAN followed ─► TUN ─► ports reserved ─► worker ─► guard ─► LAN configured, traffic captured
 *
 * Nothing is captured before packets can flow. Whatever was changed on the host is in the journal first, and is undone in
 * reverse at the end, whatever the end was: an orderly stop, a crash of the worker, a failure half-way through the start.
 */
import { availableParallelism } from 'node:os'
import { type Logger, pino } from 'pino'
import type { PingLine, PingRequest, SocketFrame, SocketInfo, SocketRequest } from './api/socket-types.js'
import type { LiveTraceRequest, TraceQuestion } from './api/trace-request.js'
import type { TraceLine, TraceRecord } from './api/trace-types.js'
import type { CaptureRequest, EventRequest, FlowEvent, FlowFilter, FlowRecord, GatewayControl, GatewayStatus, PolicyAnswer, PolicyRequest, RedirectLine, RedirectRequest } from './api/types.js'
import { ZONE_LAN, ZONE_WAN } from './attachment.js'
import { BindingLog } from './control/binding-log.js'
import { alreadyCapturing, captureStream } from './control/capture-stream.js'
import { logDeterministic } from './control/deterministic-log.js'
import { EventHub } from './control/event-hub.js'
import { EventStreams } from './control/event-stream.js'
import { readFlows } from './control/flow-reader.js'
import { type FollowedRoutes, interfaceNames, openFollowedRoutes } from './control/followed-routes.js'
import { describeStatus } from './control/gateway-status.js'
import { openHost, type Host } from './control/host.js'
import { insideNetworks } from './control/inside-networks.js'
import type { FollowedTables } from './control/main-table.js'
import type { PolicyService } from './control/policy-service.js'
import { openPolicy } from './control/policy-start.js'
import type { PolicyState } from './control/policy-tools.js'
import { openPing } from './control/ping-session.js'
import { Redirects } from './control/redirects.js'
import { RuleLogWriter } from './control/rule-log.js'
import { SocketHost } from './control/socket-host.js'
import { countSockets, listSockets } from './control/socket-list.js'
import { openSession } from './control/socket-session.js'
import { reachOf, type RuleReach } from './control/rule-reach.js'
import { UplinkChecks, verifyChecks } from './control/uplink-checks.js'
import { Tracer } from './control/tracer.js'
import { createWallClock } from './control/wall-clock.js'
import { WorkerLink } from './control/worker-link.js'
import type { Config } from './config.js'
import { createLogRing } from './hooks/log-ring.js'
import { createMetrics } from './metrics.js'
import { createEventRing, EVENT_RECORDS } from './nat/event-ring.js'
import { allocateFlowTable, FlowColumns, HEADER_COUNT } from './nat/flow-table.js'
import { timeoutColumn } from './nat/timeouts.js'
import { native } from './native.js'
import type { SocketApi } from './stack/sockets/node/api.js'
import { createCaptureRing } from './stack/device/capture-ring.js'
import { formatIpv4 } from './stack/wire/address.js'
import { allocateStats } from './stats.js'
import type { FaultSettings, FromWorker, WorkerSettings } from './worker-protocol.js'

export interface GatewayOptions {
  /** Default: JSON lines on standard error, from level warn on. */
  readonly log?: Logger
}

export interface RunningGateway extends GatewayControl {
  /** Packets flow. Never rejects; what prevents it comes by `closed`. */
  readonly ready: Promise<void>
  /** Everything is undone: null after an orderly stop, else what ended the gateway. */
  readonly closed: Promise<Error | null>
  /** Sockets of the gateway's own: they leave by its routes and rules, and take what is intercepted. They end with it. */
  readonly sockets: SocketApi
}

const CAPTURE_RING_BYTES = 16 << 20
const PACKET_MAX = 65535
const ENETDOWN = 100

/** Milliseconds on the data plane's clock. */
const monotonic = (): number => {
  const clock = new Float64Array(1)
  native().readClock(clock)
  return clock[0]!
}

const faultSettings = (side: Config['fault']['lan']): FaultSettings | null =>
  side === undefined ? null : { incoming: side.in ?? {}, outgoing: side.out ?? {}, seed: (side.in ?? side.out)?.seed ?? 1 }

class Gateway implements RunningGateway {
  readonly #config: Config
  readonly #log: Logger
  readonly #table
  readonly #columns: FlowColumns
  readonly #stats = allocateStats()
  readonly #timeouts: Int32Array
  readonly #ring = createEventRing(EVENT_RECORDS)
  readonly #hub = new EventHub(this.#ring)
  readonly #streams: EventStreams
  readonly #bindings: BindingLog
  readonly #logRing = createLogRing()
  readonly #ruleLog: RuleLogWriter
  readonly #tracer: Tracer
  readonly #metrics = createMetrics(() => this.status())
  readonly #started = Date.now()
  #host!: Host
  #worker!: WorkerLink
  #routes!: FollowedRoutes
  #policy!: PolicyService
  #sockets!: SocketHost
  #redirects: Redirects | null = null
  #checks: UplinkChecks | null = null
  #state: GatewayStatus['state'] = 'starting'
  #capturing = false
  #endLog: () => void = () => {}
  readonly #aborted = new AbortController()
  #stop!: (error: Error | null) => void
  readonly #stopRequested = new Promise<Error | null>((resolve) => (this.#stop = resolve))
  ready!: Promise<void>
  closed!: Promise<Error | null>

  constructor(config: Config, { log = pino({ level: 'warn' }, pino.destination(2)) }: GatewayOptions) {
    this.#config = config
    this.#log = log
    this.#table = allocateFlowTable(config.limits.flows)
    this.#columns = new FlowColumns(this.#table)
    this.#timeouts = timeoutColumn(config.timeouts)
    const wallTime = createWallClock(monotonic)
    this.#streams = new EventStreams({ hub: this.#hub, timeouts: this.#timeouts, capacity: config.limits.flows, wallTime })
    this.#bindings = new BindingLog(config.name, config.log, this.#hub, log, wallTime)
    this.#ruleLog = new RuleLogWriter({
      ring: this.#logRing, ruleset: () => this.#policy.ruleset, interfaces: ['', ...interfaceNames(config)], wallTime, log, name: config.name, nflog: config.log.nflog,
    })
    this.#tracer = new Tracer({
      send: (message) => this.#worker.send(message),
      interfaces: interfaceNames(config).slice(1),
      wording: () => ({ ruleset: this.#policy.state.ruleset, ip: this.#policy.state.ip, timeouts: this.#timeouts, wallTime }),
    })
  }

  async start(): Promise<void> {
    this.#routes = await openFollowedRoutes(this.#config)
    try {
      verifyChecks(this.#config)
      this.#policy = await openPolicy(this.#config, this.#log, monotonic, this.#routes.tables)
      this.#host = await openHost(this.#config, this.#log, this.#reachOf(this.#policy.state))
    } catch (error) {
      this.#routes.close()
      throw error
    }
    try {
      this.#bindings.start()
      this.#ruleLog.start()
      this.#sockets = this.#openSockets()
      this.#worker = new WorkerLink(this.#workerSettings(), (message) => this.#hear(message))
      this.#sockets.signal = () => this.#worker.wake()
      await Promise.race([this.#worker.ready, this.#worker.ended.then((error) => Promise.reject(error ?? new Error('the data plane ended at once')))])
      this.#policy.attach(this.#worker.policy)
      this.#policy.onReach = (state) => this.#host.useReach(this.#reachOf(state))
      this.#checks = new UplinkChecks(this.#host.uplinks, this.#host.wanNamespace, this.#log, (number, fails) => void this.#policy.setFailed(number, fails))
      await this.#followRoutes()
      await this.#startRedirects()
      await this.#host.engage({ send: (message) => this.#worker.send(message), fail: (error) => this.#stop(error) })
    } catch (error) {
      await this.#shutDown()
      throw error
    }
    this.#checks?.start()
    this.#endLog = logDeterministic(this.#config, this.#log)
    this.#state = 'ready'
    this.ready = Promise.resolve()
    this.closed = this.#run()
  }

  /** Waits for the end, whoever brings it about, and undoes everything. */
  async #run(): Promise<Error | null> {
    const reason = await Promise.race([this.#stopRequested, this.#worker.ended])
    if (reason !== null) this.#log.fatal({ err: reason }, 'the gateway stops: nothing is forwarded any more')
    this.#state = 'stopping'
    await this.#shutDown()
    return reason
  }

  /**
   * The TUN goes first, while rules still lead to it: what is captured is refused until they are gone, and nothing leaves with
   * its private source. The guard goes last.
   */
  async #shutDown(): Promise<void> {
    this.#endLog()
    this.#tracer.close()
    this.#routes.close()
    this.#checks?.stop()
    await this.#redirects?.close()
    this.#sockets?.close()
    await this.#host.disengage()
    if (await this.#worker?.stop() === true) this.#log.error('the data plane did not answer and was ended by force; this is a bug in tsnat')
    await this.#bindings.stop()
    await this.#ruleLog.stop()
    this.#host.closeDevices(this.#worker?.hasClosedDevices ?? false)
    await this.#host.undo()
    this.#host.close()
  }

  #workerSettings(): Omit<WorkerSettings, 'wake'> {
    const { limits, timeouts, mssClamp, busyPoll, fault, nat, deadFlows } = this.#config
    return {
      ...this.#host.workerSettings(),
      table: this.#table,
      stats: this.#stats,
      events: this.#ring,
      sockets: this.#sockets.workerSettings,
      logs: this.#logRing,
      behaviour: { nat, timeouts, limits },
      deadFlows,
      mssClamp,
      // With one processor, looking for packets would keep from it those who make them.
      busyPoll: availableParallelism() > 1 ? busyPoll : 0,
      fault: { lan: faultSettings(fault.lan), wan: faultSettings(fault.wan) },
      policy: { interfaces: interfaceNames(this.#config), seed: this.#policy.seed, messages: this.#policy.startMessages() },
    }
  }

  #openSockets(): SocketHost {
    const host = this.#host
    return new SocketHost({
      capacity: this.#config.limits.sockets,
      ports: host.ephemeralPorts,
      mtu: () => host.largestMtu,
      addresses: () => host.ownAddresses,
      broadcasts: () => host.broadcastAddresses,
      isOccupied: (protocol, address, port) => host.isOccupied(protocol, address, port),
      clock: monotonic,
      bound: (ports) => host.useBound(ports),
    })
  }

  get sockets(): SocketApi {
    return this.#sockets.api
  }

  #hear(message: FromWorker): void {
    if (message.type === 'ask') this.#host.uplinks[message.index]!.resolveNeighbour(message.address)
    else if (message.type === 'traced') this.#tracer.answered(message.id, message.trace)
    else if (message.type === 'traces') this.#tracer.passed(message.batch)
    else if (message.type === 'device-lost') {
      // A WAN that is down or gone is followed by rtnetlink; it may come back. A TUN that is gone stays so.
      if (message.zone === ZONE_LAN) this.#stop(this.#host.lanLost(message.errno))
      else if (message.errno !== ENETDOWN) this.#log.warn({ errno: message.errno, wan: this.#host.uplinks[message.zone - ZONE_WAN]!.name }, 'the WAN device failed')
    }
  }

  #reachOf({ ruleset, ip }: PolicyState): RuleReach {
    return reachOf(ruleset, this.#config.lan, () => insideNetworks(ip))
  }

  /** Before anything is captured, so that nothing goes another way. */
  async #startRedirects(): Promise<void> {
    const { lan, redirect } = this.#config
    this.#redirects = new Redirects({
      sockets: this.sockets, policy: (request) => this.#policy.run(request), lan: { name: lan, address: formatIpv4(this.#host.gatewayAddress) }, log: this.#log,
    })
    if (redirect !== undefined) await this.#redirects.start(redirect)
  }

  /** Interfaces and routes as they are now, and from now on, for routing by policy. */
  #followRoutes(): Promise<void> {
    const take = ({ devices, routes }: FollowedTables): Promise<void> => this.#policy.setLinks(devices, routes)
    const tell = (err: unknown): void => {
      if (this.#state !== 'stopping') this.#log.warn({ err }, 'changes of the kernel\'s routes are not followed')
    }
    this.#routes.listen({ change: (tables) => { take(tables).catch(tell) }, problem: tell })
    return take(this.#routes.tables)
  }

  policy(request: PolicyRequest): Promise<PolicyAnswer> {
    return this.#policy.run(request)
  }

  status(): GatewayStatus {
    return describeStatus({
      config: this.#config,
      host: this.#host,
      health: (uplink) => this.#checks?.of(uplink) ?? null,
      stats: this.#stats,
      header: this.#columns.header,
      capacity: this.#columns.capacity,
      state: this.#state,
      events: { readers: this.#streams.readers, lost: this.#hub.missed },
      bindings: { logged: this.#bindings.logged, lost: this.#bindings.lost },
      log: { lines: this.#ruleLog.lines, packets: this.#ruleLog.packets, lost: this.#ruleLog.lost },
      redirects: this.#redirects?.status() ?? [],
      sockets: countSockets(this.#sockets.stack.table),
      uptime: (Date.now() - this.#started) / 1000,
    })
  }

  *flows(filter: FlowFilter): Generator<FlowRecord> {
    for (const { record } of readFlows(this.#columns, this.#timeouts, filter)) yield record
  }

  flowCount(): number {
    return this.#columns.header[HEADER_COUNT]!
  }

  async deleteFlows(filter: FlowFilter): Promise<FlowRecord[]> {
    const found = [...readFlows(this.#columns, this.#timeouts, filter)]
    const pairs = Int32Array.from(found.flatMap(({ index, generation }) => [index, generation]))
    const deleted = new Map<number, number>()
    const answer = await this.#worker.deleteFlows(pairs)
    for (let at = 0; at < answer.length; at += 2) deleted.set(answer[at]!, answer[at + 1]!)
    return found.filter(({ index, generation }) => deleted.get(index) === generation).map(({ record }) => record)
  }

  events(request: EventRequest, signal: AbortSignal): AsyncIterable<FlowEvent[]> {
    return this.#streams.open(request, AbortSignal.any([signal, this.#aborted.signal]))
  }

  async *capture(request: CaptureRequest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    if (this.#capturing) throw alreadyCapturing()
    this.#capturing = true
    const snapLength = request.snaplen === 0 ? PACKET_MAX : request.snaplen
    const ring = createCaptureRing(CAPTURE_RING_BYTES, snapLength)
    const all = [
      { side: ZONE_LAN, name: this.#config.lan, description: 'LAN side of tsnat' },
      ...this.#config.wans.map((wan, index) => ({ side: ZONE_WAN + index, name: wan.interface, description: 'WAN side of tsnat' })),
    ]
    const interfaces = all.filter(({ side }) => request.side === 'both' || (request.side === 'lan') === (side === ZONE_LAN))
    const end = AbortSignal.any([signal, this.#aborted.signal])
    this.#worker.send({ type: 'capture', ring, zones: interfaces.map(({ side }) => side) })
    try {
      yield* captureStream(ring, interfaces, request, snapLength, end)
    } finally {
      this.#capturing = false
      if (this.#state !== 'stopping') this.#worker.send({ type: 'capture', ring: null, zones: [] })
    }
  }

  trace(question: TraceQuestion): Promise<TraceRecord> {
    return this.#tracer.ask(question)
  }

  traceLive(request: LiveTraceRequest, signal: AbortSignal): AsyncIterable<TraceLine[]> {
    return this.#tracer.follow(request, AbortSignal.any([signal, this.#aborted.signal]))
  }

  redirect(request: RedirectRequest, signal: AbortSignal): AsyncIterable<RedirectLine[]> {
    return this.#redirects!.follow(request, AbortSignal.any([signal, this.#aborted.signal]))
  }

  listSockets(): Iterable<SocketInfo> {
    return listSockets(this.#sockets.stack)
  }

  openSocket(request: SocketRequest, input: AsyncIterable<SocketFrame>, gone: AbortSignal): AsyncIterable<SocketFrame> {
    return openSession({ sockets: this.sockets, request, input, gone, stopped: this.#aborted.signal })
  }

  ping(request: PingRequest, signal: AbortSignal): AsyncIterable<PingLine[]> {
    return openPing({ sockets: this.sockets, request, signal: AbortSignal.any([signal, this.#aborted.signal]) })
  }

  metrics(): Promise<string> {
    return this.#metrics.text()
  }

  stop(): void {
    this.#aborted.abort()
    this.#stop(null)
  }
}

/**
 * Starts a gateway and resolves when packets flow.
 * @throws TsnatError naming what stands in the way; the host is then as before
 */
export const createGateway = async (config: Config, options: GatewayOptions = {}): Promise<RunningGateway> => {
  const gateway = new Gateway(config, options)
  await gateway.start()
  return gateway
}

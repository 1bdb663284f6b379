/**
 * The host around the data plane: the WAN followed by rtnetlink, the TUN, the guard, the captured traffic, and the journal of
 * all that was changed. One object from start to end; `open` changes nothing that would be seen, `engage` captures traffic,
 * `disengage` leaves the host to itself, `undo` puts everything back.
 */
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import { ExitCode, TsnatError } from '../errors.js'
import { reservePorts, canReservePorts } from '../host/changes.js'
import { Guard, type GuardScope } from '../host/guard.js'
import { Journal } from '../host/journal.js'
import { Lan } from '../host/lan.js'
import { gatewayAddressOf } from '../host/lan-subnet.js'
import { unknownInterface } from '../host/interface-error.js'
import { openNamespace, ownNamespace, type NetworkNamespace } from '../host/namespace.js'
import { formatPorts, type PortSet } from '../host/port-set.js'
import { preflight } from '../host/preflight.js'
import { RAW_LIMITS, RAW_MARK, RawWan } from '../host/raw-wan.js'
import { WanMonitor, type NeighbourReport, type WanState } from '../host/wan.js'
import { formatPool } from '../nat/pool.js'
import { native } from '../native.js'
import { wanFilter } from '../stack/device/filter.js'
import { openPacket, type PacketHandle } from '../stack/device/packet.js'
import { openTun, type TunHandle } from '../stack/device/tun.js'
import { formatIpv4, parsePrefix } from '../stack/wire/address.js'
import { PROTOCOL_ESP, PROTOCOL_GRE } from '../stack/wire/ipv4.js'
import type { PortRange, ToWorker, WanHandle, WanSettings, WorkerSettings } from '../worker-protocol.js'
import { packetError, tunError } from './device-error.js'
import { type PortlessPlan, planPortless } from './forward-plan.js'
import { PortPlan } from './port-plan.js'
import { exclusiveAddresses, linkAddresses, ownedAddresses } from './outside-plan.js'
import { missingFromPool, planWan, requireUnowned, troubles, untranslatedNetworks } from './wan-plan.js'

/** Milliseconds between two looks at the ports that the host's own sockets hold. */
const PORTS_INTERVAL = 5000
/** Milliseconds after which an interface that could not be opened is tried again, unless it changes before. */
const RETRY_INTERVAL = 1000

/** What the host tells the data plane, and the gateway when it cannot go on. */
export interface HostListener {
  send(message: ToWorker): void
  fail(error: Error): void
}

const rangesOf = (ports: PortSet): PortRange[] => ports.map(({ first, last }) => [first, last] as const)

/** Opens the host for a gateway. @throws TsnatError; nothing is left behind then */
export const openHost = async (config: Config, log: Logger): Promise<Host> => {
  const wanNamespace = ownNamespace()
  const lanNamespace = config.netns === undefined ? ownNamespace() : openNamespace(config.netns)
  const host = new Host(config, log, wanNamespace, lanNamespace)
  try {
    await host.open()
    return host
  } catch (error) {
    await host.disengage()
    host.closeDevices(false)
    await host.undo()
    host.close()
    throw error
  }
}

export class Host {
  readonly #config: Config
  readonly #log: Logger
  readonly #wanNamespace: NetworkNamespace
  readonly #lanNamespace: NetworkNamespace
  readonly #subnet: { address: number; prefixLength: number }
  readonly #owned
  /** Inside networks that go out as they are. */
  readonly #untranslated
  readonly #ports: PortPlan
  readonly #portless: PortlessPlan
  #journal: Journal | null = null
  #monitor: WanMonitor | null = null
  #lan: Lan | null = null
  #guard: Guard | null = null
  #tun: TunHandle | null = null
  #packet: PacketHandle | null = null
  #raw: RawWan | null = null
  #settings!: WanSettings
  #lanMtu = 0
  #listener: HostListener | null = null
  #portsTimer: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  /** Interface that the guard is bound to. */
  #guarded = 0
  /** WAN changes are worked off one after the other. */
  #changes: Promise<void> = Promise.resolve()
  #reported = ''
  #loggedWay = ''
  /** Next hop addresses and what is known of them, for the status. */
  readonly #neighbours = new Map<number, NeighbourReport>()

  constructor(config: Config, log: Logger, wanNamespace: NetworkNamespace, lanNamespace: NetworkNamespace) {
    this.#config = config
    this.#log = log
    this.#wanNamespace = wanNamespace
    this.#lanNamespace = lanNamespace
    const { address, length } = parsePrefix(config.lanAddress)!
    this.#subnet = { address, prefixLength: length }
    this.#owned = ownedAddresses(config)
    this.#untranslated = untranslatedNetworks(config)
    this.#ports = new PortPlan(config, wanNamespace, log)
    this.#portless = planPortless(config)
  }

  async open(): Promise<void> {
    const { name, wan, lan, offload } = this.#config
    const claims = {
      wan: {
        namespace: this.#wanNamespace.id,
        interface: wan,
        ports: this.#owned === null ? formatPorts(this.#ports.heard) : null,
        addresses: (exclusiveAddresses(this.#config) ?? []).map(formatIpv4),
      },
      lan: { namespace: this.#lanNamespace.id, interface: lan },
    }
    const { journal, recovered } = await this.#openJournal(name, claims)
    this.#journal = journal
    if (recovered !== null) this.#log.warn({ undone: recovered.undone }, 'tidied up after an instance that did not end properly')

    this.#monitor = await WanMonitor.open(wan, this.#wanNamespace)
    // From the start: the data plane may ask before traffic is captured.
    this.#monitor.on('neighbour', (report) => this.#neighbourChanged(report))
    const { state } = this.#monitor
    // It was there a moment ago; on index 0 a packet socket would hear all interfaces.
    if (state.ifindex === 0) throw unknownInterface(wan, this.#wanNamespace)
    if (this.#owned !== null) requireUnowned(state, exclusiveAddresses(this.#config)!)
    this.#settings = planWan(state, this.#config)
    this.#lanMtu = this.#config.lanMtu ?? state.mtu
    this.#ports.refresh(this.#kernelAddresses())
    try {
      this.#tun = this.#lanNamespace.run(() => openTun(lan, offload.lan))
    } catch (error) {
      throw tunError(lan, error)
    }
    if (this.#config.wanDriver === 'raw') this.#openRaw()
    else this.#packet = this.#openPacket(state)
    if (this.#owned === null) await this.#reservePorts()
  }

  /** Checks first, so that the most basic trouble is named; the journal undoes what a dead predecessor left. */
  async #openJournal(name: string, claims: Parameters<typeof Journal.open>[1]): ReturnType<typeof Journal.open> {
    const check = (): Promise<void> =>
      preflight({ name, claims, wanNamespace: this.#wanNamespace, lanNamespace: this.#lanNamespace, subnet: this.#subnet })
    await check()
    return Journal.open(name, claims)
  }

  workerSettings(): Pick<WorkerSettings, 'lan' | 'wans' | 'ports' | 'forwards'> {
    return {
      lan: { tun: this.tun, mtu: this.#lanMtu, address: this.gatewayAddress },
      wans: [{
        handle: this.#wanHandle(),
        settings: this.#settings,
        ownedAddresses: exclusiveAddresses(this.#config),
        linkAddresses: linkAddresses(this.#config),
      }],
      ports: rangesOf(this.#ports.usable),
      forwards: this.#ports.forwards,
    }
  }

  /** Packets can flow: guards the address, captures traffic, and follows the WAN from now on. */
  async engage(listener: HostListener): Promise<void> {
    this.#listener = listener
    const { wan, lan, capture } = this.#config
    await this.#makeGuard()
    this.#lan = await Lan.open({
      namespace: this.#lanNamespace,
      name: lan,
      address: this.#subnet.address,
      prefixLength: this.#subnet.prefixLength,
      mtu: this.#lanMtu,
      capture,
      wan: { namespace: this.#wanNamespace, name: wan, addresses: this.#kernelAddresses() },
      ...(this.#raw === null ? {} : { bypassMark: RAW_MARK }),
      journal: this.#journal!,
    })
    for (const warning of this.#lan.warnings) this.#log.warn(warning)
    const monitor = this.#monitor!
    monitor.on('change', (state) => this.#enqueue(() => this.#wanChanged(state)))
    monitor.on('problem', (err) => this.#log.warn({ err }, 'cannot read the state of the WAN'))
    for (const report of this.#neighbours.values()) this.#neighbourChanged(report)
    this.#logWay()
    // What changed between the first look and now.
    this.#enqueue(() => this.#wanChanged(monitor.state))
    if (this.#owned === null) {
      this.#portsTimer = setInterval(() => this.#enqueue(() => this.#portsChanged()), PORTS_INTERVAL)
      this.#portsTimer.unref()
    }
  }

  /** The data plane needs a neighbour's Ethernet address: the kernel finds it out. */
  resolveNeighbour(address: number): void {
    this.#monitor!.resolve(address)
    const known = this.#neighbours.get(address)
    if (known?.mac != null) this.#listener?.send({ type: 'neighbour', index: 0, address, mac: known.mac })
  }

  lanLost(errno: number): TsnatError {
    return new TsnatError(`the TUN ${this.#config.lan} is gone (errno ${errno})`, {
      code: 'LAN_GONE', hint: 'it was removed by somebody else; start tsnat again', exitCode: ExitCode.device,
    })
  }

  /** Follows the WAN and the host's ports no longer. Never throws. */
  async disengage(): Promise<void> {
    clearInterval(this.#portsTimer)
    clearTimeout(this.#retry)
    this.#listener = null
    await this.#changes
    this.#lan?.close()
    this.#monitor?.close()
  }

  /** Closes the TUN and the WAN's socket, when the data plane has ended. @param closed it closed them itself */
  closeDevices(closed: boolean): void {
    if (closed) return
    const { handle } = this.#raw ?? { handle: null }
    for (const device of [this.#tun, this.#packet, handle]) if (device != null) native().close(device.fd)
  }

  /** Puts back what was changed. Never throws. */
  async undo(): Promise<void> {
    const report = await this.#journal?.undo()
    for (const { what, error } of report?.failed ?? []) this.#log.error({ err: error, what }, 'could not be undone; "tsnat down" tries again')
  }

  /** Lets go of the rest. */
  close(): void {
    this.#raw?.close()
    this.#guard?.close()
    this.#lanNamespace.close()
  }

  get gatewayAddress(): number {
    return gatewayAddressOf(this.#subnet.address, this.#subnet.prefixLength)
  }

  get wanState(): WanState {
    return this.#monitor!.state
  }

  get wanSettings(): WanSettings {
    return this.#settings
  }

  get lanMtu(): number {
    return this.#lanMtu
  }

  get lanIfindex(): number {
    return this.#lan?.ifindex ?? 0
  }

  /** Packets that the TUN dropped before tsnat could read them. */
  get lanKernelDrops(): number {
    return this.#lan?.dropped ?? 0
  }

  get tun(): TunHandle {
    return this.#tun!
  }

  get ports(): PortSet {
    return this.#ports.usable
  }

  get wanHasOffloads(): boolean {
    return this.#packet?.offload ?? false
  }

  /** What the raw driver counts on its own; null with the packet driver. */
  get rawCounters(): RawWan['counters'] | null {
    return this.#raw?.counters ?? null
  }

  /** The Ethernet address of a next hop as the kernel told it last. */
  neighbour(address: number): NeighbourReport | undefined {
    return this.#neighbours.get(address)
  }

  /** Why new flows cannot leave. */
  get troubles(): string[] {
    return troubles(this.wanState, this.#settings, this.#config)
  }

  async #reservePorts(): Promise<void> {
    if (canReservePorts(this.#wanNamespace)) await reservePorts(this.#journal!, this.#wanNamespace, this.#ports.heard)
    else this.#log.warn('ip_local_reserved_ports cannot be written here: the kernel may choose the same ports for connections of its own')
  }

  #kernelAddresses(): number[] {
    return this.#monitor!.state.addresses.map(({ address }) => address)
  }

  #filter(): Uint8Array {
    const { addresses } = this.#settings
    const { pings, protocols } = this.#portless
    const ports = this.#owned === null ? rangesOf(this.#ports.heard) : null
    return wanFilter({ addresses, networks: this.#untranslated, ports, pings, protocols, arp: this.#owned !== null })
  }

  #openPacket({ ifindex, mac, ethernet }: WanState): PacketHandle {
    const { wan, offload } = this.#config
    try {
      return openPacket({ name: wan, ifindex, mac: ethernet ? mac : null, filter: this.#filter(), offload: offload.wan })
    } catch (error) {
      throw packetError(wan, error)
    }
  }

  #openRaw(): void {
    for (const limit of RAW_LIMITS) this.#log.info(`raw driver: ${limit}`)
    this.#raw = RawWan.open({
      wan: this.#config.wan,
      mark: RAW_MARK,
      namespace: this.#wanNamespace,
      addresses: () => this.#settings.addresses,
      ports: () => this.#ports.any,
      protocols: this.#portless.protocols ?? [PROTOCOL_GRE, PROTOCOL_ESP],
      wanMtu: () => this.wanState.mtu,
      lanMtu: () => this.#lanMtu,
      onError: (err) => this.#log.warn({ err }, 'raw socket'),
    })
  }

  #wanHandle(): WanHandle {
    return this.#raw === null ? { kind: 'packet', packet: this.#packet! } : { kind: 'plain', plain: this.#raw.handle }
  }

  async #makeGuard(): Promise<void> {
    const { name, wan } = this.#config
    if (this.wanState.ifindex === 0) return
    const scope = this.#guardScope()
    try {
      this.#guard = this.#raw === null
        ? await Guard.onIngress(name, wan, scope, this.#wanNamespace)
        : await Guard.onOutput(name, RAW_MARK, scope, this.#wanNamespace)
      this.#guarded = this.wanState.ifindex
    } catch (error) {
      if (this.#owned === null || !(error instanceof TsnatError) || error.code !== 'GUARD_UNSUPPORTED') throw error
      // The kernel does not have these addresses: it only gets in the way where it forwards.
      this.#log.warn(`${error.message}; if this host forwards packets (net.ipv4.ip_forward), it does so with those to tsnat's addresses, too`)
    }
  }

  #guardScope(): GuardScope {
    const { addresses } = this.#settings
    const { lan, wan } = this.#config
    const inside = this.#untranslated
    const tun = this.#lanNamespace.id === this.#wanNamespace.id ? { tun: { name: lan, address: this.#subnet.address, wan } } : {}
    if (this.#owned === null) return { addresses, ...this.#ports.guarded, inside, forwards: this.#portless.forwards, ...tun }
    const own = addresses.map((address) => ({ address, mask: -1 }))
    return { addresses: [], tcp: [], udp: [], whole: own, inside, ...tun }
  }

  #enqueue(work: () => Promise<void>): void {
    this.#changes = this.#changes.then(() => (this.#listener === null ? undefined : work())).catch((error: unknown) => {
      this.#listener?.fail(error instanceof Error ? error : new Error(String(error)))
    })
  }

  async #wanChanged(state: WanState): Promise<void> {
    const listener = this.#listener!
    this.#settings = planWan(state, this.#config)
    this.#logWay()
    if (state.ifindex !== 0) await this.#tryFollowDevice(state, listener)
    if (this.#packet !== null) native().packetSetFilter(this.#packet.fd, this.#filter())
    this.#ports.refresh(this.#kernelAddresses())
    listener.send(this.#portsMessage())
    await this.#guard?.update(this.#guardScope())
    listener.send({ type: 'wan', index: 0, settings: this.#settings })
    await this.#lan?.updateWanAddresses(this.#kernelAddresses())
    await this.#followMtu(state, listener)
    this.#reportTroubles()
  }

  /** An interface that is gone again before it was opened is no failure: either another change comes, or it is tried again. */
  async #tryFollowDevice(state: WanState, listener: HostListener): Promise<void> {
    clearTimeout(this.#retry)
    try {
      await this.#followDevice(state, listener)
    } catch (err) {
      this.#log.warn({ err, wan: state.name, ifindex: state.ifindex }, 'the WAN interface cannot be opened yet')
      this.#retry = setTimeout(() => this.#enqueue(() => this.#wanChanged(this.wanState)), RETRY_INTERVAL).unref()
    }
  }

  /** The interface came back under another index, or with another MAC address: the guard and the socket are made anew. */
  async #followDevice(state: WanState, listener: HostListener): Promise<void> {
    this.#raw?.follow(state.ifindex)
    const packet = this.#packet
    if (packet === null) return
    // Before the socket: what arrives between the two is lost, rather than answered by the kernel.
    if (this.#guarded !== state.ifindex && this.#guard !== null) {
      await this.#guard.rebind(state.name)
      this.#guarded = state.ifindex
    }
    const sameMac = packet.mac?.high === state.mac?.high && packet.mac?.low === state.mac?.low
    if (packet.ifindex === state.ifindex && (!state.ethernet || sameMac)) return
    this.#log.info({ wan: state.name, ifindex: state.ifindex }, 'the WAN interface was exchanged: opening it anew')
    this.#packet = this.#openPacket(state)
    listener.send({ type: 'wan-device', index: 0, handle: this.#wanHandle() })
  }

  async #followMtu(state: WanState, listener: HostListener): Promise<void> {
    const mtu = this.#config.lanMtu ?? state.mtu
    if (mtu === this.#lanMtu || mtu === 0) return
    this.#lanMtu = mtu
    await this.#lan?.setMtu(mtu)
    listener.send({ type: 'lan-mtu', mtu })
  }

  #portsMessage(): ToWorker {
    return { type: 'ports', ports: rangesOf(this.#ports.usable), forwards: this.#ports.forwards }
  }

  async #portsChanged(): Promise<void> {
    if (!this.#ports.refresh(this.#kernelAddresses())) return
    this.#listener!.send(this.#portsMessage())
    await this.#guard?.update(this.#guardScope())
  }

  #neighbourChanged(report: NeighbourReport): void {
    this.#neighbours.set(report.ip, report)
    // While the kernel is still asking, packets wait.
    if (report.mac !== null || report.state === 'failed') this.#listener?.send({ type: 'neighbour', index: 0, address: report.ip, mac: report.mac })
  }

  /** Says, each time it changes, by which way packets leave. */
  #logWay(): void {
    const { name, mtu, ifindex } = this.wanState
    const { addresses, routes } = this.#settings
    const gateway = routes.find(({ prefixLength }) => prefixLength === 0)?.gateway ?? null
    const way = { wan: name, ifindex, mtu, addresses: formatPool(addresses), gateway: gateway === null ? null : formatIpv4(gateway) }
    const text = JSON.stringify(way)
    if (text === this.#loggedWay) return
    this.#loggedWay = text
    this.#log.info(way, 'the WAN')
    const missing = missingFromPool(this.#settings, this.#config)
    if (missing.length > 0) this.#log.warn({ missing: formatPool(missing) }, 'the WAN does not have all addresses of nat.pool: the others are used')
  }

  /** Says once, each time it changes, what keeps new flows from leaving. */
  #reportTroubles(): void {
    const reasons = this.troubles
    const text = reasons.join('; ')
    if (text === this.#reported) return
    this.#reported = text
    if (reasons.length > 0) this.#log.warn({ reasons }, `new flows cannot leave: ${text}`)
    else this.#log.info('the WAN is usable again')
  }
}

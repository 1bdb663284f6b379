/**
 * One WAN of the host: followed by rtnetlink, its packet socket or raw sockets, its guard, and what the data plane is told of it.
 *
 * Theory of operation. `open` reads its state, `openDevice` opens its sockets, `engage` guards its addresses and lets changes be
 * heard. A change is worked off in two steps, since what it means for the ports of all WANs is decided between them (host.ts):
 * `take` reads the new state and follows the interface, `apply` brings guard and data plane up to date. Both run one at a time.
 */
import type { Logger } from 'pino'
import type { UplinkConfig } from '../config-wan.js'
import type { Config } from '../config.js'
import { TsnatError } from '../errors.js'
import { Guard, type GuardScope } from '../host/guard.js'
import type { Network } from '../host/guard-rules.js'
import { unknownInterface } from '../host/interface-error.js'
import type { NetworkNamespace } from '../host/namespace.js'
import { RAW_LIMITS, RAW_MARK, RawWan } from '../host/raw-wan.js'
import { WanMonitor, type NeighbourReport, type WanState } from '../host/wan.js'
import { formatPool } from '../nat/pool.js'
import { native } from '../native.js'
import { wanFilter } from '../stack/device/filter.js'
import { openPacket, type PacketHandle } from '../stack/device/packet.js'
import { formatIpv4 } from '../stack/wire/address.js'
import { PROTOCOL_ESP, PROTOCOL_GRE, PROTOCOL_ICMP } from '../stack/wire/ipv4.js'
import type { ToWorker, WanHandle, WanSettings, WanStart } from '../worker-protocol.js'
import { packetError } from './device-error.js'
import { type PortlessPlan, planPortless } from './forward-plan.js'
import { exclusiveAddresses, linkAddresses } from './outside-plan.js'
import { type PortPlan, rangesOf } from './port-plan.js'
import { planWan, requireUnowned, troubles, untranslatedNetworks } from './wan-plan.js'

/** Milliseconds after which an interface that could not be opened is tried again, unless it changes before. */
const RETRY_INTERVAL = 1000

/** Networks that the filter of a socket tells apart; of more it lets everything through, which is looked at further on. */
const HEARD_NETWORKS_MAX = 256
const EVERYTHING: readonly Network[] = [{ address: 0, mask: 0 }]

export interface UplinkParts {
  readonly config: Config
  /** 0 for the first WAN. */
  readonly index: number
  readonly log: Logger
  readonly namespace: NetworkNamespace
  /** Ports of all WANs. */
  readonly ports: PortPlan
  /** The TUN, where it is in the same namespace; its address as int32. */
  readonly tun: { readonly name: string; readonly address: number } | null
  /** MTU of the LAN in bytes. */
  readonly lanMtu: () => number
}

export interface UplinkListener {
  readonly send: (message: ToWorker) => void
  /** Something may be different: `take` and `apply` are to be called. */
  readonly changed: () => void
}

export class Uplink {
  readonly config: UplinkConfig
  readonly index: number
  readonly #parts: UplinkParts
  readonly #log: Logger
  readonly #portless: PortlessPlan
  #monitor: WanMonitor | null = null
  #guard: Guard | null = null
  /** Interface that the guard is bound to. */
  #guarded = 0
  #packet: PacketHandle | null = null
  #raw: RawWan | null = null
  #settings!: WanSettings
  #listener: UplinkListener | null = null
  #retry: NodeJS.Timeout | undefined
  #loggedWay = ''
  #saidUnguarded = false
  /** Next hop addresses and what is known of them, for the status. */
  readonly #neighbours = new Map<number, NeighbourReport>()

  constructor(parts: UplinkParts) {
    this.#parts = parts
    this.#log = parts.log
    this.index = parts.index
    this.config = parts.config.wans[parts.index]!
    this.#portless = planPortless(parts.config)
  }

  /** Looks at the interface. @throws TsnatError UNKNOWN_INTERFACE, ADDRESS_CLASH */
  async open(): Promise<void> {
    const { namespace, config } = this.#parts
    this.#monitor = await WanMonitor.open(this.name, namespace)
    // From the start: the data plane may ask before traffic is captured.
    this.#monitor.on('neighbour', (report) => this.#neighbourChanged(report))
    const { state } = this.#monitor
    // It was there a moment ago; on index 0 a packet socket would hear all interfaces.
    if (state.ifindex === 0) throw unknownInterface(this.name, namespace)
    if (!this.isShared) requireUnowned(state, exclusiveAddresses(config, this.config)!)
    this.#settings = planWan(state, this.config, config)
  }

  /** Opens its sockets. @throws TsnatError */
  openDevice(): void {
    if (this.#parts.config.wanDriver === 'raw') this.#openRaw()
    else this.#packet = this.#openPacket(this.state)
  }

  /** For the data plane at its start. */
  get start(): WanStart {
    const { config } = this.#parts
    return {
      handle: this.#handle(),
      settings: this.#settings,
      ownedAddresses: exclusiveAddresses(config, this.config),
      linkAddresses: linkAddresses(config, this.config),
    }
  }

  /** Packets can flow: guards its addresses. @throws TsnatError */
  async guard(): Promise<void> {
    const { config, namespace } = this.#parts
    if (this.state.ifindex === 0) return
    const scope = this.#guardScope()
    // No instance has a name with a dot.
    const name = this.index === 0 ? config.name : `${config.name}.${this.index + 1}`
    try {
      this.#guard = this.#raw === null
        ? await Guard.onIngress(name, this.name, scope, namespace)
        : await Guard.onOutput(name, RAW_MARK, scope, namespace)
      this.#guarded = this.state.ifindex
    } catch (error) {
      if (this.isShared || !(error instanceof TsnatError) || error.code !== 'GUARD_UNSUPPORTED') throw error
      // The kernel does not have these addresses: it only gets in the way where it forwards.
      this.#log.warn(`${error.message}; if this host forwards packets (net.ipv4.ip_forward), it does so with those to tsnat's addresses, too`)
    }
  }

  /** Tells its changes from now on, the first time at once: what changed between the first look and now. */
  engage(listener: UplinkListener): void {
    this.#listener = listener
    const monitor = this.#monitor!
    monitor.on('change', () => this.#listener?.changed())
    monitor.on('problem', (err) => this.#log.warn({ err, wan: this.name }, 'cannot read the state of the WAN'))
    for (const report of this.#neighbours.values()) this.#neighbourChanged(report)
    this.#logWay()
    listener.changed()
  }

  /** The data plane needs a neighbour's Ethernet address: the kernel finds it out. */
  resolveNeighbour(address: number): void {
    this.#monitor!.resolve(address)
    const known = this.#neighbours.get(address)
    if (known?.mac != null) this.#listener?.send({ type: 'neighbour', index: this.index, address, mac: known.mac })
  }

  /** The first step of a change: its new state, and its sockets on the interface that it is now. */
  async take(): Promise<void> {
    const { state } = this
    this.#settings = planWan(state, this.config, this.#parts.config)
    this.#logWay()
    if (state.ifindex !== 0) await this.#tryFollowDevice(state)
    if (this.#packet !== null) native().packetSetFilter(this.#packet.fd, this.#filter())
  }

  /** The second step: guard and data plane learn of it. */
  async apply(): Promise<void> {
    await this.updateGuard()
    this.#listener?.send({ type: 'wan', index: this.index, settings: this.#settings })
  }

  /** Ports or addresses changed. */
  async updateGuard(): Promise<void> {
    if (this.#guard === null || (await this.#guard.update(this.#guardScope())) || this.#saidUnguarded) return
    this.#saidUnguarded = true
    this.#log.warn({ wan: this.name }, 'this kernel (without NFT_FIB_NETDEV) may itself forward what comes for inside hosts, if it forwards packets')
  }

  /** Rules make other ports and addresses tsnat's. */
  async followRules(): Promise<void> {
    if (this.#packet !== null) native().packetSetFilter(this.#packet.fd, this.#filter())
    await this.updateGuard()
  }

  /** Follows the interface no longer. Never throws. */
  disengage(): void {
    clearTimeout(this.#retry)
    this.#listener = null
    this.#monitor?.close()
  }

  /** Closes the descriptor that the data plane has not closed. */
  closeDevice(): void {
    const device = this.#raw?.handle ?? this.#packet
    if (device != null) native().close(device.fd)
  }

  /** Lets go of the rest. */
  close(): void {
    this.#raw?.close()
    this.#guard?.close()
  }

  get name(): string {
    return this.config.interface
  }

  /** The kernel has its addresses too. */
  get isShared(): boolean {
    return this.config.address === 'shared'
  }

  get state(): WanState {
    return this.#monitor!.state
  }

  get settings(): WanSettings {
    return this.#settings
  }

  /** Next hop of what leaves by it, int32; null while there is none. */
  get gateway(): number | null {
    return this.#settings.routes.find(({ prefixLength }) => prefixLength === 0)?.gateway ?? null
  }

  /** Address that flows leave from, int32; null while there is none. */
  get source(): number | null {
    const { routes, addresses } = this.#settings
    return routes.find(({ prefixLength, source }) => prefixLength === 0 && source !== 0)?.source ?? addresses[0] ?? null
  }

  /** Addresses that the kernel has there, int32. */
  get kernelAddresses(): number[] {
    return this.state.addresses.map(({ address }) => address)
  }

  get hasOffloads(): boolean {
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

  /** Why new flows cannot leave by it, one line each. */
  get troubles(): string[] {
    return troubles(this.state, this.#settings)
  }

  #filter(): Uint8Array {
    const { addresses } = this.#settings
    const { ports: plan } = this.#parts
    const { pings, protocols } = this.#portless
    const ports = this.isShared ? rangesOf(plan.heard) : null
    const networks = [...this.#insideNetworks(), ...this.#ruledNetworks()]
    return wanFilter({ addresses, networks: networks.length > HEARD_NETWORKS_MAX ? EVERYTHING : networks, ports, pings: pings || plan.reach.pings, protocols, arp: !this.isShared })
  }

  /** Networks inside whose hosts are spoken to as they are. */
  #insideNetworks(): Network[] {
    return [...untranslatedNetworks(this.#parts.config), ...this.#parts.ports.reach.inside]
  }

  /** Networks that rules make tsnat's, without those that hold an address of the WAN: of it only ports can be. */
  #ruledNetworks(): Network[] {
    const own = [...this.#settings.addresses, ...this.kernelAddresses]
    return this.#parts.ports.reach.networks.filter(({ address, mask }) => !own.some((one) => ((one ^ address) & mask) === 0))
  }

  #openPacket({ ifindex, mac, ethernet }: WanState): PacketHandle {
    const { offload } = this.#parts.config
    try {
      return openPacket({ name: this.name, ifindex, mac: ethernet ? mac : null, filter: this.#filter(), offload: offload.wan })
    } catch (error) {
      throw packetError(this.name, error)
    }
  }

  #openRaw(): void {
    if (this.index === 0) for (const limit of RAW_LIMITS) this.#log.info(`raw driver: ${limit}`)
    this.#raw = RawWan.open({
      wan: this.name,
      mark: RAW_MARK,
      namespace: this.#parts.namespace,
      addresses: () => this.#settings.addresses,
      ports: () => this.#parts.ports.any,
      protocols: this.#portless.protocols ?? [PROTOCOL_GRE, PROTOCOL_ESP],
      wanMtu: () => this.state.mtu,
      lanMtu: this.#parts.lanMtu,
      onError: (err) => this.#log.warn({ err, wan: this.name }, 'raw socket'),
    })
  }

  #handle(): WanHandle {
    return this.#raw === null ? { kind: 'packet', packet: this.#packet! } : { kind: 'plain', plain: this.#raw.handle }
  }

  #guardScope(): GuardScope {
    const { addresses } = this.#settings
    const { ports, tun: lan } = this.#parts
    const inside = this.#insideNetworks()
    const whole = this.#ruledNetworks()
    const pings = ports.reach.pings ? [{ protocol: PROTOCOL_ICMP, from: 0, fromMask: 0 }] : []
    const tun = lan === null ? {} : { tun: { ...lan, wan: this.name } }
    if (this.isShared) return { addresses, ...ports.guarded, whole, inside, forwards: [...this.#portless.forwards, ...pings], ...tun }
    const own = addresses.map((address) => ({ address, mask: -1 }))
    return { addresses: [], tcp: [], udp: [], whole: [...own, ...whole], inside, ...tun }
  }

  /** An interface that is gone again before it was opened is no failure: either another change comes, or it is tried again. */
  async #tryFollowDevice(state: WanState): Promise<void> {
    clearTimeout(this.#retry)
    try {
      await this.#followDevice(state)
    } catch (err) {
      this.#log.warn({ err, wan: state.name, ifindex: state.ifindex }, 'the WAN interface cannot be opened yet')
      this.#retry = setTimeout(() => this.#listener?.changed(), RETRY_INTERVAL).unref()
    }
  }

  /** The interface came back under another index, or with another MAC address: the guard and the socket are made anew. */
  async #followDevice(state: WanState): Promise<void> {
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
    this.#listener?.send({ type: 'wan-device', index: this.index, handle: this.#handle() })
  }

  #neighbourChanged(report: NeighbourReport): void {
    this.#neighbours.set(report.ip, report)
    // While the kernel is still asking, packets wait.
    if (report.mac !== null || report.state === 'failed') this.#listener?.send({ type: 'neighbour', index: this.index, address: report.ip, mac: report.mac })
  }

  /** Says, each time it changes, by which way packets leave. */
  #logWay(): void {
    const { name, mtu, ifindex } = this.state
    const { addresses, routes } = this.#settings
    const gateway = routes.find(({ prefixLength }) => prefixLength === 0)?.gateway ?? null
    const way = { wan: name, ifindex, mtu, addresses: formatPool(addresses), gateway: gateway === null ? null : formatIpv4(gateway) }
    const text = JSON.stringify(way)
    if (text === this.#loggedWay) return
    this.#loggedWay = text
    this.#log.info(way, 'the WAN')
  }
}

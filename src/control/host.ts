/**
 * The host around the data plane: the WANs (uplink.ts), the TUN, the captured traffic, the ports that are tsnat's, and the journal
 * of all that was changed. One object from start to end; `open` changes nothing that would be seen, `engage` captures traffic,
 * `disengage` leaves the host to itself, `undo` puts everything back.
 *
 * What a change of a WAN means for the others is decided here: ports are the same on all of them, the MTU of the LAN is that of the
 * smallest, and new flows can leave as long as one of them works.
 */
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import { ExitCode, TsnatError } from '../errors.js'
import { reservePorts, canReservePorts } from '../host/changes.js'
import { Journal } from '../host/journal.js'
import { Lan } from '../host/lan.js'
import { gatewayAddressOf } from '../host/lan-subnet.js'
import { openNamespace, ownNamespace, type NetworkNamespace } from '../host/namespace.js'
import { formatPorts, type PortSet } from '../host/port-set.js'
import { type HostPorts, isHeldPort, localPortRange } from '../host/ports.js'
import { preflight } from '../host/preflight.js'
import { RAW_MARK } from '../host/raw-wan.js'
import { formatPool } from '../nat/pool.js'
import { native } from '../native.js'
import { openTun, type TunHandle } from '../stack/device/tun.js'
import type { PortRange } from '../stack/port-range.js'
import { formatIpv4, maskOf, parsePrefix } from '../stack/wire/address.js'
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../stack/wire/ipv4.js'
import type { ToWorker, WorkerSettings } from '../worker-protocol.js'
import { tunError } from './device-error.js'
import { exclusiveAddresses } from './outside-plan.js'
import { PortPlan, rangesOf } from './port-plan.js'
import type { RuleReach } from './rule-reach.js'
import { Uplink } from './uplink.js'
import { missingFromPool, poolTrouble } from './wan-plan.js'

/** Milliseconds between two looks at the ports that the host's own sockets hold. */
const PORTS_INTERVAL = 5000

/** What the host tells the data plane, and the gateway when it cannot go on. */
export interface HostListener {
  readonly send: (message: ToWorker) => void
  readonly fail: (error: Error) => void
}

/** Opens the host for a gateway. @throws TsnatError; nothing is left behind then */
export const openHost = async (config: Config, log: Logger, reach: RuleReach): Promise<Host> => {
  const wanNamespace = ownNamespace()
  const lanNamespace = config.netns === undefined ? ownNamespace() : openNamespace(config.netns)
  const host = new Host(config, log, wanNamespace, lanNamespace)
  void host.useReach(reach)
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
  readonly wanNamespace: NetworkNamespace
  readonly #lanNamespace: NetworkNamespace
  readonly #subnet: { address: number; prefixLength: number }
  readonly #ports: PortPlan
  /** In the order of their zones. */
  readonly uplinks: readonly Uplink[]
  #journal: Journal | null = null
  #lan: Lan | null = null
  #tun: TunHandle | null = null
  #lanMtu = 0
  #listener: HostListener | null = null
  #portsTimer: NodeJS.Timeout | undefined
  /** What sockets are bound to will be told. */
  #isBoundQueued = false
  /** WAN changes are worked off one after the other. */
  #changes: Promise<void> = Promise.resolve()
  #reported = ''
  /** Of each WAN, what was said last of its troubles. */
  readonly #reportedOf = new Map<Uplink, string>()
  #reportedMissing = ''

  constructor(config: Config, log: Logger, wanNamespace: NetworkNamespace, lanNamespace: NetworkNamespace) {
    this.#config = config
    this.#log = log
    this.wanNamespace = wanNamespace
    this.#lanNamespace = lanNamespace
    const { address, length } = parsePrefix(config.lanAddress)!
    this.#subnet = { address, prefixLength: length }
    const ports = new PortPlan(config, wanNamespace, log)
    this.#ports = ports
    const tun = lanNamespace.id === wanNamespace.id ? { name: config.lan, address } : null
    const lanMtu = (): number => this.#lanMtu
    this.uplinks = config.wans.map((_, index) => new Uplink({ config, index, log, namespace: wanNamespace, ports, tun, lanMtu }))
  }

  async open(): Promise<void> {
    const { name, lan, offload } = this.#config
    const claims = {
      wans: this.uplinks.map(({ config, isShared }) => ({
        namespace: this.wanNamespace.id,
        interface: config.interface,
        ports: isShared ? formatPorts(this.#ports.heard) : null,
        addresses: (exclusiveAddresses(this.#config, config) ?? []).map(formatIpv4),
      })),
      lan: { namespace: this.#lanNamespace.id, interface: lan },
    }
    const { journal, recovered } = await this.#openJournal(name, claims)
    this.#journal = journal
    if (recovered !== null) this.#log.warn({ undone: recovered.undone }, 'tidied up after an instance that did not end properly')

    for (const uplink of this.uplinks) await uplink.open()
    this.#lanMtu = this.#wantedMtu()
    this.#ports.refresh(this.#kernelAddresses())
    try {
      this.#tun = this.#lanNamespace.run(() => openTun(lan, offload.lan))
    } catch (error) {
      throw tunError(lan, error)
    }
    for (const uplink of this.uplinks) uplink.openDevice()
    if (this.#isShared) await this.#reservePorts()
  }

  /** Checks first, so that the most basic trouble is named; the journal undoes what a dead predecessor left. */
  async #openJournal(name: string, claims: Parameters<typeof Journal.open>[1]): ReturnType<typeof Journal.open> {
    const check = (): Promise<void> =>
      preflight({ name, claims, wanNamespace: this.wanNamespace, lanNamespace: this.#lanNamespace, subnet: this.#subnet })
    await check()
    return Journal.open(name, claims)
  }

  workerSettings(): Pick<WorkerSettings, 'lan' | 'wans' | 'ports' | 'forwards'> {
    return {
      lan: { tun: this.tun, mtu: this.#lanMtu, address: this.gatewayAddress },
      wans: this.uplinks.map(({ start }) => start),
      ports: rangesOf(this.#ports.usable),
      forwards: this.#ports.forwards,
    }
  }

  /** Packets can flow: guards the addresses, captures traffic, and follows the WANs from now on. */
  async engage(listener: HostListener): Promise<void> {
    this.#listener = listener
    const { lan, capture, wanDriver } = this.#config
    for (const uplink of this.uplinks) await uplink.guard()
    this.#lan = await Lan.open({
      namespace: this.#lanNamespace,
      name: lan,
      address: this.#subnet.address,
      prefixLength: this.#subnet.prefixLength,
      mtu: this.#lanMtu,
      capture,
      wan: { namespace: this.wanNamespace, names: this.uplinks.map(({ name }) => name), addresses: this.#kernelAddresses() },
      ...(wanDriver === 'raw' ? { bypassMark: RAW_MARK } : {}),
      journal: this.#journal!,
    })
    for (const warning of this.#lan.warnings) this.#log.warn(warning)
    for (const uplink of this.uplinks) {
      uplink.engage({ send: listener.send, changed: () => this.#enqueue(() => this.#wanChanged(uplink)) })
    }
    this.#reportMissing()
    if (this.#isShared) {
      this.#portsTimer = setInterval(() => this.#enqueue(() => this.#portsChanged()), PORTS_INTERVAL)
      this.#portsTimer.unref()
    }
  }

  /** What rules make tsnat's on the outside, from now on. Resolves when the WANs hear it. Before `engage` it is only noted. */
  useReach(reach: RuleReach): Promise<void> {
    this.#ports.reach = reach
    if (this.#listener === null) return Promise.resolve()
    this.#enqueue(async () => {
      await this.#portsChanged()
      for (const uplink of this.uplinks) await uplink.followRules()
    })
    return this.#changes
  }

  /** Ports that tsnat's own sockets are bound to, from now on. Resolves when the WANs hear them. */
  useBound(ports: HostPorts): Promise<void> {
    this.#ports.bound = ports
    if (this.#listener === null || this.#isBoundQueued) return this.#changes
    // Many sockets bound in a row are told at once: the host's ports are read for each telling.
    this.#isBoundQueued = true
    this.#enqueue(async () => {
      this.#isBoundQueued = false
      // The kernel shall not choose them for connections of the host's.
      if (this.#isShared && canReservePorts(this.wanNamespace)) await reservePorts(this.#journal!, this.wanNamespace, this.#ports.boundWithin(localPortRange(this.wanNamespace)))
      await this.#portsChanged()
      for (const uplink of this.uplinks) await uplink.followRules()
    })
    return this.#changes
  }

  /** Whether a program of the host has the port at an address that both have. @param address int32, 0 for any; @param protocol 6 or 17, others have no ports */
  isOccupied(protocol: number, address: number, port: number): boolean {
    const shared = this.uplinks.flatMap(({ isShared, kernelAddresses }) => (isShared ? kernelAddresses : [])).filter((own) => address === 0 || own === address)
    const name = protocol === PROTOCOL_TCP ? 'tcp' : protocol === PROTOCOL_UDP ? 'udp' : null
    return name !== null && shared.length > 0 && isHeldPort(this.wanNamespace, name, port, shared)
  }

  lanLost(errno: number): TsnatError {
    return new TsnatError(`the TUN ${this.#config.lan} is gone (errno ${errno})`, {
      code: 'LAN_GONE', hint: 'it was removed by somebody else; start tsnat again', exitCode: ExitCode.device,
    })
  }

  /** Follows the WANs and the host's ports no longer. Never throws. */
  async disengage(): Promise<void> {
    clearInterval(this.#portsTimer)
    this.#listener = null
    await this.#changes
    this.#lan?.close()
    for (const uplink of this.uplinks) uplink.disengage()
  }

  /** Closes the TUN and the WANs' sockets, when the data plane has ended. @param closed it closed them itself */
  closeDevices(closed: boolean): void {
    if (closed) return
    if (this.#tun !== null) native().close(this.#tun.fd)
    for (const uplink of this.uplinks) uplink.closeDevice()
  }

  /** Puts back what was changed. Never throws. */
  async undo(): Promise<void> {
    const report = await this.#journal?.undo()
    for (const { what, error } of report?.failed ?? []) this.#log.error({ err: error, what }, 'could not be undone; "tsnat down" tries again')
  }

  /** Lets go of the rest. */
  close(): void {
    for (const uplink of this.uplinks) uplink.close()
    this.#lanNamespace.close()
  }

  get gatewayAddress(): number {
    return gatewayAddressOf(this.#subnet.address, this.#subnet.prefixLength)
  }

  /** Addresses at which the sockets of tsnat's own can be reached, besides those of the loopback. */
  get ownAddresses(): ReadonlySet<number> {
    return new Set([this.gatewayAddress, ...this.uplinks.flatMap(({ settings }) => settings.addresses)])
  }

  /** Broadcast addresses of the networks that tsnat is on. */
  get broadcastAddresses(): ReadonlySet<number> {
    const { address, prefixLength } = this.#subnet
    const networks = [{ address, prefixLength }, ...this.uplinks.flatMap(({ state }) => state.addresses)]
    return new Set(networks.filter((network) => network.prefixLength < 31).map((network) => network.address | ~maskOf(network.prefixLength)))
  }

  /** Bytes that a packet may have by the widest interface. */
  get largestMtu(): number {
    return Math.max(this.#lanMtu, ...this.uplinks.map(({ state }) => state.mtu))
  }

  /** Ports that tsnat's own sockets choose from. */
  get ephemeralPorts(): PortRange {
    return this.#ports.ephemeral
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

  /** Why new flows cannot leave; empty while there is a WAN by which they can. */
  get troubles(): string[] {
    const found = this.uplinks.map(({ troubles }) => troubles)
    const pool = poolTrouble(this.uplinks.map(({ settings }) => settings), this.uplinks.map(({ name }) => name), this.#config)
    const own = found.some((reasons) => reasons.length === 0) ? [] : found.flat()
    return pool === null ? own : [...own, pool]
  }

  /** A WAN uses addresses that the kernel has too. */
  get #isShared(): boolean {
    return this.uplinks.some(({ isShared }) => isShared)
  }

  async #reservePorts(): Promise<void> {
    if (canReservePorts(this.wanNamespace)) await reservePorts(this.#journal!, this.wanNamespace, this.#ports.heard)
    else this.#log.warn('ip_local_reserved_ports cannot be written here: the kernel may choose the same ports for connections of its own')
  }

  #kernelAddresses(): number[] {
    return this.uplinks.flatMap(({ kernelAddresses }) => kernelAddresses)
  }

  #enqueue(work: () => Promise<void>): void {
    this.#changes = this.#changes.then(() => (this.#listener === null ? undefined : work())).catch((error: unknown) => {
      this.#listener?.fail(error instanceof Error ? error : new Error(String(error)))
    })
  }

  async #wanChanged(uplink: Uplink): Promise<void> {
    await uplink.take()
    await this.#portsChanged()
    await uplink.apply()
    await this.#lan?.updateWanAddresses(this.#kernelAddresses())
    await this.#followMtu()
    this.#reportMissing()
    this.#reportTroubles(uplink)
  }

  /** What the LAN may carry: as much as the narrowest WAN that is there. */
  #wantedMtu(): number {
    const mtus = this.uplinks.map(({ state }) => state.mtu).filter((mtu) => mtu > 0)
    return this.#config.lanMtu ?? (mtus.length === 0 ? 0 : Math.min(...mtus))
  }

  async #followMtu(): Promise<void> {
    const mtu = this.#wantedMtu()
    if (mtu === this.#lanMtu || mtu === 0) return
    this.#lanMtu = mtu
    await this.#lan?.setMtu(mtu)
    this.#listener?.send({ type: 'lan-mtu', mtu })
  }

  async #portsChanged(): Promise<void> {
    if (!this.#ports.refresh(this.#kernelAddresses())) return
    this.#listener?.send({ type: 'ports', ports: rangesOf(this.#ports.usable), forwards: this.#ports.forwards })
    for (const uplink of this.uplinks) await uplink.updateGuard()
  }

  /** Says, each time it changes, which addresses of the pool are not there. */
  #reportMissing(): void {
    const missing = formatPool(missingFromPool(this.uplinks.map(({ settings }) => settings), this.#config))
    if (missing === this.#reportedMissing) return
    this.#reportedMissing = missing
    if (missing !== '') this.#log.warn({ missing }, 'the WAN does not have all addresses of nat.pool: the others are used')
  }

  /** Says once, each time it changes, what keeps new flows from leaving: by this WAN, and at all. */
  #reportTroubles(uplink: Uplink): void {
    if (this.uplinks.length > 1) {
      const reasons = uplink.troubles
      const text = reasons.join('; ')
      const before = this.#reportedOf.get(uplink) ?? ''
      this.#reportedOf.set(uplink, text)
      if (text !== before && text !== '') this.#log.warn({ wan: uplink.name, reasons }, `the WAN ${uplink.name} cannot be used: ${text}`)
      else if (text !== before) this.#log.info({ wan: uplink.name }, `the WAN ${uplink.name} is usable again`)
    }
    const reasons = this.troubles
    const text = reasons.join('; ')
    if (text === this.#reported) return
    this.#reported = text
    if (reasons.length > 0) this.#log.warn({ reasons }, `new flows cannot leave: ${text}`)
    else this.#log.info(this.uplinks.length > 1 ? 'a WAN is usable again' : 'the WAN is usable again')
  }
}

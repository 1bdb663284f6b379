/**
 * Packets of no flow that end at the gateway itself.
 *
 *     is it ours?   an own address, a socket that waits for it there, or routes that lead here
 *     INPUT ─┬─► its socket, as it came, when no NAT has a part in it
 *            ├─► a flow that ends here is opened ─► its socket, translated
 *            └─► own host: pings are answered, and who sends to nobody is told
 */
import { type Admission, ANY_PORT } from './admission.js'
import { type Attachment, numberOfZone, ZONE_LAN } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import type { Hooks } from './hooks/hooks.js'
import type { LocalPath } from './local-path.js'
import type { FlowEvents } from './nat/events.js'
import type { FlowTable } from './nat/flow-table.js'
import { closeUnused } from './nat/track.js'
import type { OwnHost } from './own-host.js'
import type { PathCheck } from './path-check.js'
import type { Reports } from './reports.js'
import { isInvalidDestination, isInvalidSource } from './stack/address-class.js'
import type { Packet } from './stack/parse.js'
import { NO_SOCKET } from './stack/sockets/network.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import type { Recorder } from './trace/recorder.js'
import type { Tracing } from './trace/tracing.js'

export interface NewLocalParts {
  readonly table: FlowTable
  readonly admission: Admission
  readonly hooks: Hooks
  readonly paths: PathCheck
  readonly reports: Reports
  readonly tracing: Tracing
  readonly ownHost: OwnHost
  readonly lan: Attachment
  readonly local: LocalPath
  readonly events: FlowEvents
  readonly clock: Clock
}

export class NewLocal {
  readonly #table: FlowTable
  readonly #admission: Admission
  readonly #hooks: Hooks
  readonly #paths: PathCheck
  readonly #reports: Reports
  readonly #tracing: Tracing
  readonly #ownHost: OwnHost
  readonly #lan: Attachment
  readonly #local: LocalPath
  readonly #events: FlowEvents
  readonly #clock: Clock

  constructor(parts: NewLocalParts) {
    this.#table = parts.table
    this.#admission = parts.admission
    this.#hooks = parts.hooks
    this.#paths = parts.paths
    this.#reports = parts.reports
    this.#tracing = parts.tracing
    this.#ownHost = parts.ownHost
    this.#lan = parts.lan
    this.#local = parts.local
    this.#events = parts.events
    this.#clock = parts.clock
  }

  /** A packet that TPROXY has given to a socket. Returns 0 or a drop code; -1 when routes lead it elsewhere. */
  intercept(packet: Packet, from: Attachment): number {
    const { recorder } = this.#tracing
    const words = recorder === null ? null : this.#local.sockets!.describe(this.#hooks.socket)
    if (words !== null) recorder?.tproxy(words)
    return this.divert(packet, from)
  }

  /** Delivers a packet that rules have marked or given to a socket, if routes lead it here. Returns 0 or a drop code; -1 when they do not. */
  divert(packet: Packet, from: Attachment): number {
    if (!this.#local.isOpen) return -1
    const address = this.#hooks.addressOf(packet)
    const isHere = this.#admission.addresses.has(address) || this.#local.isRoutedHere(packet, from, address, this.#hooks.portOf(packet))
    return isHere ? this.receive(packet, from) : -1
  }

  /**
   * Whether a packet is the gateway's own. On the WAN's addresses only pings are, and what its sockets wait for, unless it is forwarded:
   * other ports may be somebody's mapping.
   */
  isFor(packet: Packet, from: Attachment): boolean {
    const { hasDestination } = this.#hooks
    const address = this.#hooks.addressOf(packet)
    if (hasDestination && address === from.firstAddress) return true
    if (!hasDestination) {
      const isOurs = from.zone === ZONE_LAN || (packet.icmpType === icmp4.ECHO_REQUEST && !this.#admission.isForwarded(packet))
      if (isOurs && from.localAddresses.has(packet.destination)) return true
    }
    if (!this.#local.isOpen) return false
    if (hasDestination && this.#lan.localAddresses.has(address)) return true
    if (!this.#admission.addresses.has(address)) return false
    const port = this.#hooks.portOf(packet)
    return this.#local.hasReceiver(packet, address, port, from) && !this.#admission.isForwarded(packet, address, port)
  }

  /** A packet for the gateway itself, which rules of PREROUTING have let arrive. Returns 0 or a drop code. */
  receive(packet: Packet, from: Attachment): number {
    const stopped = this.#hooks.isIdle ? 0 : this.ask(packet, from)
    if (stopped !== 0) return stopped
    if (this.#local.isOpen && packet.icmpType !== icmp4.ECHO_REQUEST) return this.#deliver(packet, from)
    this.#tracing.recorder?.local()
    return this.#ownHost.receive(packet, from)
  }

  /** A packet that INPUT has let pass goes to its socket. Returns 0 or a drop code. */
  #deliver(packet: Packet, from: Attachment): number {
    const { hasDestination, socket, source } = this.#hooks
    const local = this.#local
    if (isInvalidSource(packet.source) || this.#isOwn(packet.source)) return Drop['invalid-source']
    const address = this.#hooks.addressOf(packet)
    const port = this.#hooks.portOf(packet)
    if (hasDestination && isInvalidDestination(address)) return Drop['invalid-destination']
    if (socket < 0 && !local.hasReceiver(packet, address, port, from)) {
      const isTcp = from.zone === ZONE_LAN && packet.protocol === ipv4.PROTOCOL_TCP
      // The stack says that nobody is there, but it cannot say so in the name of where the client wanted to go.
      if (isTcp && !hasDestination) return local.deliver(packet, from, NO_SOCKET)
      this.#tracing.recorder?.local()
      if (isTcp) this.#reports.reset(packet, from)
      return this.#ownHost.receive(packet, from)
    }
    if (!hasDestination && source.isNone && !local.sockets!.isFlows(packet)) return local.deliver(packet, from, socket)
    return this.#open(packet, from, address, port)
  }

  #isOwn(address: number): boolean {
    return this.#lan.localAddresses.has(address) || this.#admission.addresses.has(address)
  }

  /** Opens the flow of a packet that NAT leads to a socket, and delivers it. Returns 0 or a drop code. */
  #open(packet: Packet, from: Attachment, address: number, port: number): number {
    const admission = this.#admission
    const hooks = this.#hooks
    const { recorder } = this.#tracing
    const refused = admission.planLocal(packet, address, port, false) || admission.leaveAs()
    if (refused !== 0) return refused
    if (recorder !== null && recorder.isDry) return this.#foresee(packet, from, recorder)
    const side = admission.commit(packet, from, this.#clock.now)
    if (side < 0) {
      this.#paths.tellOfLimit(packet, from)
      return -side
    }
    if (!hooks.isIdle) hooks.opened(side >> 1)
    recorder?.flow(side, true)
    const drop = this.#local.deliverOf(packet, side, from, hooks.socket, hooks.mark)
    if (drop !== 0) closeUnused(this.#table, side)
    this.#events.confirm(side >> 1)
    return drop
  }

  /** Tells what flow a packet for a socket would open. Returns 0 or a drop code. */
  #foresee(packet: Packet, from: Attachment, recorder: Recorder): number {
    const { source, destination, destinationPort } = this.#admission.rewrite
    const port = this.#admission.foresee(packet, from, this.#clock.now)
    if (port < 0) return -port
    recorder.translations(packet, source, port === ANY_PORT ? null : port, destination, destinationPort)
    const { sockets } = this.#local
    const row = this.#hooks.socket
    recorder.local(sockets!.describe(row >= 0 ? row : sockets!.find(packet, destination, destinationPort, numberOfZone(from.zone))))
    return 0
  }

  /** INPUT, which sees the destination that rules have given the packet. Returns 0 or a drop code. */
  ask(packet: Packet, from: Attachment): number {
    const { hasDestination, destination } = this.#hooks
    if (hasDestination) this.#hooks.redirected(destination.address, destination.port)
    return this.#hooks.local(packet, from)
  }

  /** Whether a packet that may open no flow is for the gateway itself, as routes say. Most of those that may have asked them. */
  isForAfterAll(packet: Packet, from: Attachment, drop: number): boolean {
    if (from.zone === ZONE_LAN && drop === Drop['to-gateway']) return true
    if (drop !== Drop['no-flow'] && drop !== Drop['not-a-flow-opener'] && drop !== Drop['icmp-refused']) return false
    const address = this.#hooks.addressOf(packet)
    return !this.#admission.addresses.has(address) && this.#local.isRoutedHere(packet, from, address, this.#hooks.portOf(packet))
  }

  /** Whether a packet goes to an outside address of the gateway, as rules of PREROUTING have left it. */
  isOutside(packet: Packet): boolean {
    return this.#admission.addresses.has(this.#hooks.addressOf(packet))
  }
}

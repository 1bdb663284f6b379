/**
 * The way of a packet from inside: policy routing asked, and the answer put in the pipeline's words: by which attachment, to which
 * neighbour.
 *
 * Packets from outside go inside, and replies by the link that their flow came in on; of neither the next hop is chosen here.
 */
import { type Attachment, numberOfZone, zoneOfNumber } from './attachment.js'
import { Drop } from './drop.js'
import { maskOf } from './stack/wire/address.js'
import type { Slab } from './stack/batch.js'
import { hasPorts, type Packet } from './stack/parse.js'
import * as ipv4 from './stack/wire/ipv4.js'
import { RouteResult } from './route/lookup.js'
import type { PolicyRouter } from './route/router.js'
import type { Tracing } from './trace/tracing.js'
import { icmpCodeOf, RouteError, RouteKey, RouteType } from './route/types.js'

/** Number of the loopback: what the host itself sends comes from there. */
const LOOPBACK = 1

/** Upper four bits of a group's address. */
const MULTICAST = 0xe
const LIMITED_BROADCAST = -1
/** ff:ff:ff:ff:ff:ff */
const ALL_STATIONS_HIGH = 0xffff
const ALL_STATIONS_LOW = -1

/** In place of a zone: any will do. */
export const ANY_ZONE = -1

const DROPS: Readonly<Record<RouteError, number>> = {
  [RouteError.none]: 0,
  [RouteError.prohibited]: Drop['route-prohibited'],
  [RouteError.blackhole]: Drop['route-blackhole'],
  [RouteError.netUnreachable]: Drop['no-route'],
  [RouteError.hostUnreachable]: Drop['route-unreachable'],
}

/** Code of the ICMP type 3 that tells of a refusal by routing; -1 for none. */
export const routingCode = (drop: number): number => {
  switch (drop) {
    case Drop['no-route']: return icmpCodeOf(RouteError.netUnreachable)
    case Drop['route-unreachable']: return icmpCodeOf(RouteError.hostUnreachable)
    case Drop['route-prohibited']: return icmpCodeOf(RouteError.prohibited)
    default: return -1
  }
}

export class Routing {
  readonly #slab: Slab
  readonly #router: PolicyRouter
  readonly #attachments: readonly Attachment[]
  readonly #tracing: Tracing
  readonly key = new RouteKey()
  readonly result = new RouteResult()
  /** By which attachment the packet leaves that was looked up last. */
  to: Attachment
  /** It is for all hosts of a link. */
  isBroadcast = false
  /** Where it goes there: the gateway, or the destination itself. */
  nextHop = 0

  /** @param attachments by zone */
  constructor(slab: Slab, router: PolicyRouter, attachments: readonly Attachment[], tracing: Tracing) {
    this.#slab = slab
    this.#router = router
    this.#attachments = attachments
    this.#tracing = tracing
    this.to = attachments[0]!
  }

  /**
   * Looks up where `packet`, which came from `from`, goes, if its destination is this one by now.
   * @param mark what rules have given it; @param zone the only one that it may leave by, or ANY_ZONE
   * @returns 0 or a drop code; the way is in `to` and `nextHop` then
   */
  find(packet: Packet, from: Attachment, destination: number, port: number, mark: number, zone: number): number {
    const { key } = this
    key.source = packet.source
    key.input = numberOfZone(from.zone)
    key.output = zone === ANY_ZONE ? 0 : numberOfZone(zone)
    const refused = this.#look(packet, destination, port, mark)
    return refused === 0 && this.isBroadcast ? Drop['invalid-destination'] : refused
  }

  /**
   * Looks up where a packet of the gateway's own goes, if its ends are these. It may be for all hosts of a link (`isBroadcast`), not for a
   * multicast group.
   * @param source 0: not chosen yet; @param device number of the only interface that it may leave by, 0 for any
   * @returns 0 or a drop code; 'to-gateway' for a packet that stays here
   */
  findOwn(packet: Packet, source: number, destination: number, port: number, mark: number, device: number): number {
    const { key } = this
    key.source = source
    key.input = LOOPBACK
    key.output = device
    return destination >>> 28 === MULTICAST ? Drop['invalid-destination'] : this.#look(packet, destination, port, mark)
  }

  #look(packet: Packet, destination: number, port: number, mark: number): number {
    const { key, result } = this
    key.destination = destination
    key.mark = mark
    key.tos = ipv4.tos(this.#slab.view, packet.at)
    key.protocol = packet.protocol
    const withPorts = hasPorts(packet.protocol)
    key.sourcePort = withPorts ? packet.ports >>> 16 : 0
    key.destinationPort = withPorts ? port : 0
    const { recorder } = this.#tracing
    this.isBroadcast = false
    const error = this.#router.lookup(key, result, recorder === null ? null : recorder.looked)
    recorder?.routed(key, result)
    if (error !== RouteError.none) return DROPS[error]
    if (result.type === RouteType.local) return Drop['to-gateway']
    if (result.type === RouteType.multicast) return Drop['invalid-destination']
    const to = this.#attachments[zoneOfNumber(result.device)]
    if (to === undefined) return Drop['no-route']
    this.to = to
    this.isBroadcast = destination === LIMITED_BROADCAST || result.type === RouteType.broadcast || this.#isDirectedBroadcast(destination)
    this.nextHop = this.isBroadcast ? destination : result.gateway ?? destination
    return 0
  }

  /** The neighbour index for the next hop that was found; 0 where none is needed, -1 when there is no room for more. */
  get link(): number {
    const { neighbours } = this.to
    if (neighbours === null) return 0
    const index = neighbours.indexOf(this.nextHop)
    if (this.isBroadcast && index > 0) neighbours.learn(this.nextHop, ALL_STATIONS_HIGH, ALL_STATIONS_LOW)
    return index
  }

  /** Bytes that a packet may have by the way that was found. */
  get mtu(): number {
    const { mtu } = this.result
    return mtu === 0 ? this.to.mtu : Math.min(mtu, this.to.mtu)
  }

  /** Only those on the link are known (RFC 2644); subnets of one or two addresses have none (RFC 3021). */
  #isDirectedBroadcast(destination: number): boolean {
    const { gateway, prefixLength } = this.result
    return gateway === null && prefixLength < 31 && (destination | maskOf(prefixLength)) === -1
  }
}

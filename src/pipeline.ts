/**
 * The path of a packet. Read this first.
 *
 *     receive ─► parse ─┬─ later fragment ─► whose datagram? ──────────────┐
 *                       ├─ ICMP error ─────► whose quote? ─► translateError ─► push
 *                       └─ find flow ─┬─ hit ──────────────────────────────┤
 *                                     └─ miss ─► admission ─► open ────────┴─► forward: TTL, MTU, next hop, track,
 *                                                                               translate ─► push ─► send
 *
 * Admission (admission.ts) says what may open a flow: what comes from the LAN, outwards or back into the LAN (hairpin); what
 * comes from the WAN to a forwarded port or to a mapping that admits its sender.
 *
 * A packet of a known flow does only what stands on the hit line. Every function here returns 0 when the packet went on its
 * way (or waits for something) and a drop code when it did not; the code is counted in one place, `#receive`. Nothing below
 * throws, logs or allocates for a packet. A refused packet leaves no trace in the flow table.
 */
import type { Admission } from './admission.js'
import { type Attachment, ZONE_LAN } from './attachment.js'
import { Drop } from './drop.js'
import type { FlowEvents } from './nat/events.js'
import { expire } from './nat/expire.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_HOP, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import { checkError, findQuoted, translateError } from './nat/icmp-error.js'
import type { Hairpins } from './nat/hairpins.js'
import type { RoomMaker } from './nat/make-room.js'
import type { LimitSettings } from './nat/settings.js'
import type { Sources } from './nat/sources.js'
import { type Identifications, OWN_IDENTIFICATION, setIdentification } from './nat/identification.js'
import { hasPassed, type Tracker } from './nat/track.js'
import type { UnsolicitedSyns } from './nat/unsolicited-syns.js'
import { isStranded, translate } from './nat/translate.js'
import { FAILED } from './route/neighbours.js'
import type { WaitingPackets } from './route/waiting.js'
import { isInvalidSource } from './stack/address-class.js'
import type { Slab } from './stack/batch.js'
import { DROPPED_OWNER, ECHO_OWNER, type FragmentTable, QUOTE_BYTES, UNKNOWN_OWNER } from './stack/fragments.js'
import { type HeldPackets, NO_BLOCK } from './stack/held.js'
import { clampMss, MSS_OVERHEAD } from './stack/mss.js'
import { LATER_FRAGMENT, Packet, parse, WHOLE } from './stack/parse.js'
import { ERROR_MAX, mayReportError, turnEcho, turnRound, writeError } from './stack/reply.js'
import type { Scratch } from './stack/scratch.js'
import { wireCount, wireLength } from './stack/segment.js'
import { isSumRight } from './stack/verify.js'
import type { TokenBucket } from './stack/token-bucket.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as tcp from './stack/wire/tcp.js'
import * as vnet from './stack/wire/vnet.js'
import { STAT_DROPS, STAT_ERRORS_WITHHELD, STAT_REFUSED } from './stats.js'

/** Flows closed in one turn at most, so that a million that end at once do not hold up packets. */
const EXPIRE_BUDGET = 512

export interface PipelineParts {
  readonly slab: Slab
  readonly scratch: Scratch
  readonly lan: Attachment
  readonly wan: Attachment
  readonly table: FlowTable
  readonly admission: Admission
  readonly events: FlowEvents
  readonly fragments: FragmentTable
  /** Where `fragments` keeps its packets. */
  readonly held: HeldPackets
  readonly identifications: Identifications
  readonly waiting: WaitingPackets
  readonly hairpins: Hairpins
  readonly sources: Sources
  readonly room: RoomMaker
  /** null where SYNs that nobody waits for are just dropped. */
  readonly syns: UnsolicitedSyns | null
  readonly errorLimit: TokenBucket
  readonly refusal: LimitSettings['refusal']
  /** Drop what has a wrong transport checksum. */
  readonly verifiesSums: boolean
  readonly tracker: Tracker
  /** Idle seconds by timeout class. */
  readonly timeouts: Int32Array
  readonly mssClamp: boolean
  /** stats.ts */
  readonly stats: Float64Array
}

export class Pipeline {
  readonly lan: Attachment
  readonly wan: Attachment
  readonly table: FlowTable
  /** What is used of what is limited. */
  readonly usage: { readonly sources: Sources; readonly room: RoomMaker; readonly fragments: HeldPackets }
  readonly #attachments: readonly Attachment[]
  readonly #slab: Slab
  readonly #scratch: Scratch
  readonly #admission: Admission
  readonly #events: FlowEvents
  readonly #fragments: FragmentTable
  readonly #held: HeldPackets
  readonly #identifications: Identifications
  readonly #waiting: WaitingPackets
  readonly #syns: UnsolicitedSyns | null
  readonly #isKept: (flow: number, now: number) => boolean
  readonly #errorLimit: TokenBucket
  /** ICMP code for who is refused at a limit, or -1 for none. */
  readonly #refusal: number
  readonly #verifiesSums: boolean
  readonly #tracker: Tracker
  readonly #timeouts: Int32Array
  readonly #mssClamp: boolean
  readonly #stats: Float64Array
  readonly #packet = new Packet()
  /** The ID that the datagram in hand leaves with, when that was decided before: by its first fragment, or before it waited. */
  #identification = OWN_IDENTIFICATION
  /** Told of each second, before flows expire. */
  onSecond: (second: number) => void = () => {}
  /** Milliseconds, read once a turn. */
  #now = 0
  /** The same in whole seconds. */
  #second = -1
  /** The last turn's budget did not suffice to end all that is over. */
  #expiring = false

  constructor(parts: PipelineParts) {
    this.lan = parts.lan
    this.wan = parts.wan
    this.#attachments = [parts.lan, parts.wan]
    this.table = parts.table
    this.usage = { sources: parts.sources, room: parts.room, fragments: parts.held }
    this.#slab = parts.slab
    this.#scratch = parts.scratch
    this.#admission = parts.admission
    this.#events = parts.events
    this.#fragments = parts.fragments
    this.#held = parts.held
    this.#identifications = parts.identifications
    this.#waiting = parts.waiting
    this.#syns = parts.syns
    this.#isKept = (flow, now) => parts.hairpins.keeps(flow, now)
    this.#errorLimit = parts.errorLimit
    this.#refusal = REFUSAL_CODES[parts.refusal]
    this.#verifiesSums = parts.verifiesSums
    this.#tracker = parts.tracker
    this.#timeouts = parts.timeouts
    this.#mssClamp = parts.mssClamp
    this.#stats = parts.stats
    this.#fragments.onLost = (drop) => this.#stats[STAT_DROPS + drop]!++
  }

  /**
   * Sets the clock of everything below (milliseconds, not going back) and, once a second, ends what is over. Returns true
   * when more is waiting to end: call it again soon.
   */
  tick(now: number): boolean {
    this.#now = now
    if (this.#syns !== null) this.#endSyns(this.#syns)
    const second = Math.floor(now / 1000)
    if (second === this.#second && !this.#expiring) return false
    this.#second = second
    this.table.setNow(second)
    this.onSecond(second)
    this.#expireFragments(second)
    const { neighbours } = this.wan
    if (neighbours !== null) for (let link = neighbours.failOverdue(now); link !== 0; link = neighbours.failOverdue(now)) this.releaseWaiting(link)
    this.#expiring = expire(this.table, this.#timeouts, second, EXPIRE_BUDGET, this.#isKept) === EXPIRE_BUDGET
    return this.#expiring
  }

  /** Milliseconds, as last set. */
  get now(): number {
    return this.#now
  }

  /** Receives a batch from one interface, sends what comes of it. Returns packets received, or -errno of a device that is gone. */
  pump(from: Attachment): number {
    const batch = from.received
    const count = from.device.receive(this.#slab, from.region, batch)
    for (let index = 0; index < batch.count; index++) this.#receive(batch.at[index]!, batch.length[index]!, from)
    if (count > 0) this.flush()
    batch.adapt()
    return count
  }

  /** Sends everything queued and frees the scratch region. */
  flush(): void {
    this.lan.egress.flush()
    this.wan.egress.flush()
    this.#scratch.reset()
  }

  /** The Ethernet address of a next hop is known, or will not be: lets the packets go that waited for it. */
  releaseWaiting(link: number): void {
    const { held } = this.#waiting
    let block = this.#waiting.takeAll(link)
    while (block !== NO_BLOCK) {
      const next = held.next(block)
      this.#resume(block)
      this.flush()
      held.release(block)
      block = next
    }
  }

  /** Goes on with a packet that waited for its next hop. */
  #resume(block: number): void {
    const { held } = this.#waiting
    const owner = held.ownerOf(block)
    const packet = this.#packet
    this.#identification = held.identificationOf(block)
    parse(this.#slab.view, held.packetAt(block), held.lengthOf(block), packet)
    let drop = Drop['deleted']
    if (owner < 0) drop = this.#whole(packet, this.#attachments[~owner]!)
    else if (this.table.generationOf(owner >> 1) === held.generationOf(block)) {
      const isFirst = !hasPassed(this.table, owner >> 1)
      drop = this.#forward(packet, owner, this.#attachments[this.table.zoneOf(owner)]!)
      if (isFirst) this.#events.confirm(owner >> 1)
    }
    this.#identification = OWN_IDENTIFICATION
    if (drop !== 0) this.#stats[STAT_DROPS + drop]!++
  }

  #receive(at: number, received: number, from: Attachment): void {
    from.rxPackets++
    from.rxBytes += received
    const packet = this.#packet
    let drop = parse(this.#slab.view, at, received, packet)
    if (drop === 0 && this.#verifiesSums && !isSumRight(this.#slab, packet)) drop = Drop['bad-checksum']
    if (drop === 0) drop = packet.fragment === WHOLE ? this.#whole(packet, from) : this.#fragment(packet, from)
    if (drop !== 0) this.#stats[STAT_DROPS + drop]!++
  }

  #whole(packet: Packet, from: Attachment): number {
    const side = this.table.find(packet.source, packet.destination, packet.ports, packet.protocol | (from.zone << 8))
    if (side >= 0) return this.#forward(packet, side, from)
    if (icmp4.isError(packet.icmpType)) return this.#error(packet, from)
    return this.#miss(packet, from)
  }

  /** A packet of no flow: for the gateway itself, the first of a new flow, or refused. */
  #miss(packet: Packet, from: Attachment): number {
    // On the WAN's own addresses only pings are the gateway's, and they may be forwarded: ports may be forwarded or somebody's mapping.
    const isOurs = from.zone === ZONE_LAN || (packet.icmpType === icmp4.ECHO_REQUEST && !this.#admission.isForwarded(packet))
    if (isOurs && from.localAddresses.has(packet.destination)) return this.#local(packet, from)
    const side = this.#open(packet, from)
    if (side < 0) return this.#refuse(packet, from, -side)
    if (this.#syns !== null && packet.protocol === ipv4.PROTOCOL_TCP) this.#meetSyn(this.#syns, side)
    const drop = this.#forward(packet, side, from)
    if (drop !== 0) this.#closeUnused(side)
    this.#events.confirm(side >> 1)
    return drop
  }

  /** A packet may open no flow. Pings of the WAN's own addresses are answered to the LAN, SYNs from the WAN held. */
  #refuse(packet: Packet, from: Attachment, drop: number): number {
    if (from.zone === ZONE_LAN) return drop === Drop['to-gateway'] && packet.icmpType === icmp4.ECHO_REQUEST ? this.#local(packet, from) : drop
    const isSyn = (packet.tcpFlags & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN)) === tcp.SYN && this.#admission.addresses.has(packet.destination)
    if (this.#syns === null || !isSyn || (drop !== Drop['no-flow'] && drop !== Drop['filtered'])) return drop
    // So that the way back is known when its time is over. In a flood, which displaces what is held, nobody is asked for.
    if (this.#syns.hold(packet, this.#now)) this.#isReachable(this.#linkTo(packet.source, from), from)
    return drop
  }

  /** The inside opened a connection: a SYN of the other end that came before is forgotten (simultaneous open). */
  #meetSyn(syns: UnsolicitedSyns, side: number): void {
    const { sides } = this.table
    const at = (side ^ 1) * SIDE_WORDS
    syns.forget(sides[at + SIDE_SOURCE]!, sides[at + SIDE_DESTINATION]!, sides[at + SIDE_PORTS]!)
  }

  /** Tells those whose SYN nobody wanted. */
  #endSyns(syns: UnsolicitedSyns): void {
    const { held } = syns
    for (let block = syns.takeDue(this.#now); block !== NO_BLOCK; block = syns.takeDue(this.#now)) {
      parse(this.#slab.view, held.packetAt(block), held.lengthOf(block), this.#packet)
      this.#report(this.#packet, this.wan, icmp4.UNREACHABLE, icmp4.CODE_PORT, 0)
      this.flush()
      held.release(block)
    }
  }

  /** Opens a flow for a packet of none. Returns its original side, or -(drop code). */
  #open(packet: Packet, from: Attachment): number {
    const admission = this.#admission
    const refused = admission.plan(packet, from)
    if (refused !== 0) {
      if (from.zone === ZONE_LAN && isUnroutable(refused)) this.#report(packet, from, icmp4.UNREACHABLE, icmp4.CODE_NET, 0)
      if (from.zone === ZONE_LAN && refused === Drop['protocol-refused']) {
        // No setting of tsnat's lets AH pass; that others do not is as if nobody there knew them.
        this.#report(packet, from, icmp4.UNREACHABLE, packet.protocol === ipv4.PROTOCOL_AH ? icmp4.CODE_ADMIN_PROHIBITED : icmp4.CODE_PROTOCOL, 0)
      }
      return -refused
    }
    const unfit = this.#checkPath(packet, from, admission.egress)
    if (unfit !== 0) return -unfit
    const side = admission.commit(packet, from, this.#now)
    if (side < 0) {
      this.#stats[STAT_REFUSED]!++
      if (this.#refusal >= 0) this.#report(packet, from, icmp4.UNREACHABLE, this.#refusal, 0)
    }
    return side
  }

  /** Sends a packet of a flow on its way. */
  #forward(packet: Packet, side: number, from: Attachment): number {
    const { table } = this
    const to = this.#attachments[table.egressOf(side)]!
    let hop = table.sides[side * SIDE_WORDS + SIDE_HOP]!
    if (to.routes !== null && (hop & 0xffff) !== to.routes.generation) {
      hop = this.#route(packet, side, from, to)
      if (hop === 0) return Drop['no-route']
    }
    const link = hop >>> 16
    if (packet.ttl <= 1 || packet.length > to.mtu) {
      const unfit = this.#checkPath(packet, from, to)
      if (unfit !== 0) return unfit
    }
    const identification = ipv4.isAtomic(this.#slab.view, packet.at) ? OWN_IDENTIFICATION : this.#identify(packet, side)
    if (link !== 0 && !to.neighbours!.isReachable(link)) {
      const lost = this.#wait(packet, link, side, table.generationOf(side >> 1), identification, from, to)
      if (lost === Drop['next-hop-unresolved']) this.#closeUnused(side)
      return lost
    }

    const verdict = this.#tracker.track(this.#slab.view, packet, side, this.#second)
    if (verdict > 0) return verdict
    if ((packet.tcpFlags & tcp.SYN) !== 0 && this.#mssClamp) clampMss(this.#slab.view, packet, Math.min(from.mtu, to.mtu) - MSS_OVERHEAD)
    if (identification !== OWN_IDENTIFICATION) setIdentification(this.#slab.view, packet.at, identification)
    translate(this.#slab.view, packet, table, side)
    if (verdict < 0) table.close(side >> 1)
    if (packet.length > to.mtu && wireLength(this.#slab.view, packet.at, packet.length) > to.mtu) {
      return to.egress.pushFragmented(packet.at, packet.length, to.mtu, link)
    }
    return to.egress.push(packet.at, packet.length, link)
  }

  /** The ID that a packet that is or may be fragmented leaves with: a new one if its source changes (nat/identification.ts). */
  #identify(packet: Packet, side: number): number {
    if (this.#identification !== OWN_IDENTIFICATION) return this.#identification
    const count = wireCount(this.#slab.view, packet.at, packet.length)
    const identification = this.#identifications.choose(this.table, side, packet.protocol, count)
    if (packet.fragment !== WHOLE) this.#identification = identification
    return identification
  }

  /** TTL and MTU of the way out. Returns 0 or a drop code, the sender having been told. */
  #checkPath(packet: Packet, from: Attachment, to: Attachment): number {
    if (packet.ttl <= 1) {
      this.#report(packet, from, icmp4.TIME_EXCEEDED, icmp4.CODE_TTL, 0)
      return Drop['ttl-expired']
    }
    if (!ipv4.dontFragment(this.#slab.view, packet.at) || wireLength(this.#slab.view, packet.at, packet.length) <= to.mtu) return 0
    this.#report(packet, from, icmp4.UNREACHABLE, icmp4.CODE_FRAGMENTATION_NEEDED, to.mtu)
    return Drop['too-big']
  }

  /** Looks the way up again after routes changed, and stores it. Returns the new hop word, or 0. */
  #route(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    const destination = this.table.sides[(side ^ 1) * SIDE_WORDS + SIDE_SOURCE]!
    const link = this.#linkTo(destination, to)
    if (link < 0) {
      this.#report(packet, from, icmp4.UNREACHABLE, icmp4.CODE_NET, 0)
      return 0
    }
    return (this.table.sides[side * SIDE_WORDS + SIDE_HOP] = (link << 16) | to.routes!.generation)
  }

  /** The neighbour index for a destination behind `to`; 0 where none is needed, -1 without route. */
  #linkTo(destination: number, to: Attachment): number {
    if (to.routes === null) return 0
    const route = to.routes.lookup(destination)
    if (route === undefined) return -1
    return to.neighbours === null ? 0 : to.neighbours.indexOf(route.gateway ?? destination)
  }

  /** Whether a neighbour can be sent to now; if not, it is asked for, so that it can be soon. @param link -1 for no way */
  #isReachable(link: number, to: Attachment): boolean {
    if (link <= 0) return link === 0
    if (to.neighbours!.isReachable(link)) return true
    to.neighbours!.request(link, this.#now)
    return false
  }

  /**
   * Keeps the packet, as it came, until its next hop is resolved.
   * @param owner the side it belongs to, and that flow's generation; or ~zone for a packet that belongs to none
   * @param identification the ID that it leaves with
   */
  #wait(packet: Packet, link: number, owner: number, generation: number, identification: number, from: Attachment, to: Attachment): number {
    if (to.neighbours!.request(link, this.#now) === FAILED) {
      this.#report(packet, from, icmp4.UNREACHABLE, icmp4.CODE_HOST, 0)
      return Drop['next-hop-unresolved']
    }
    return this.#waiting.add(link, packet.at, packet.length, owner, generation, identification) ? 0 : Drop['next-hop-queue-full']
  }

  /** Forgets a flow of which no packet has passed. */
  #closeUnused(side: number): void {
    const flow = side >> 1
    if (this.table.isLive(flow) && !hasPassed(this.table, flow)) this.table.close(flow)
  }

  /** Something addressed to the gateway: it answers pings. To the LAN it also says that nothing else is there. */
  #local(packet: Packet, from: Attachment): number {
    if (packet.icmpType !== icmp4.ECHO_REQUEST || isInvalidSource(packet.source)) {
      if (from.zone !== ZONE_LAN) return Drop['no-flow']
      // TCP gets no answer: a RST would be one, and there is no TCP here yet to know better (RFC 1812 5.2.7.1 for the others).
      if (packet.protocol === ipv4.PROTOCOL_UDP) this.#report(packet, from, icmp4.UNREACHABLE, icmp4.CODE_PORT, 0)
      else if (packet.icmpType < 0 && packet.protocol !== ipv4.PROTOCOL_TCP) this.#report(packet, from, icmp4.UNREACHABLE, icmp4.CODE_PROTOCOL, 0)
      return Drop['to-gateway']
    }
    const link = this.#linkTo(packet.source, from)
    if (link < 0) return Drop['no-route']
    if (link !== 0 && !from.neighbours!.isReachable(link)) return this.#wait(packet, link, ~from.zone, 0, OWN_IDENTIFICATION, from, from)
    turnEcho(this.#slab.view, packet)
    return this.#sendBack(packet, from, link)
  }

  /** Sends a packet out where it came from. */
  #sendBack(packet: Packet, from: Attachment, link: number): number {
    if (packet.length > from.mtu) return from.egress.pushFragmented(packet.at, packet.length, from.mtu, link)
    return from.egress.push(packet.at, packet.length, link)
  }

  /** An ICMP error: it goes to whoever sent what it quotes. It neither refreshes nor ends the flow. */
  #error(packet: Packet, from: Attachment): number {
    const bad = checkError(this.#slab, packet)
    if (bad !== 0) return bad
    const side = findQuoted(this.#slab.view, packet, this.table, from.zone)
    if (side < 0) return Drop['no-flow']
    if (packet.ttl <= 1) return Drop['ttl-expired']
    if (isInvalidSource(packet.source)) return Drop['invalid-source']
    const to = this.#attachments[this.table.egressOf(side)]!
    const link = this.#linkTo(this.table.sides[(side ^ 1) * SIDE_WORDS + SIDE_SOURCE]!, to)
    if (link < 0) return Drop['no-route']
    if (packet.length > to.mtu && ipv4.dontFragment(this.#slab.view, packet.at)) return Drop['too-big']
    if (link !== 0 && !to.neighbours!.isReachable(link)) return this.#wait(packet, link, ~from.zone, 0, OWN_IDENTIFICATION, from, to)
    if (!ipv4.isAtomic(this.#slab.view, packet.at)) {
      const identification = this.#identifications.choose(this.table, side, ipv4.PROTOCOL_ICMP, 1)
      if (identification !== OWN_IDENTIFICATION) setIdentification(this.#slab.view, packet.at, identification)
    }
    translateError(this.#slab, packet, this.table, side)
    if (packet.length > to.mtu) return to.egress.pushFragmented(packet.at, packet.length, to.mtu, link)
    return to.egress.push(packet.at, packet.length, link)
  }

  /** A fragment: the first decides for its datagram, the others follow it or wait for it. */
  #fragment(packet: Packet, from: Attachment): number {
    const entry = this.#fragments.enter(this.#slab.view, packet, from.zone, this.#second)
    if (entry < 0) return -entry
    const drop = packet.fragment === LATER_FRAGMENT ? this.#laterFragment(packet, entry, from) : this.#firstFragment(packet, entry, from)
    this.#fragments.endIfComplete(entry)
    return drop
  }

  #firstFragment(packet: Packet, entry: number, from: Attachment): number {
    const drop = packet.protocol === ipv4.PROTOCOL_SCTP ? this.#sctpFragment(packet, from) : this.#whole(packet, from)
    this.#fragments.setIdentification(entry, this.#identification)
    this.#identification = OWN_IDENTIFICATION
    const side = this.table.find(packet.source, packet.destination, packet.ports, packet.protocol | (from.zone << 8))
    if (drop !== 0 || side < 0) this.#fragments.setOwner(entry, drop === 0 && packet.icmpType === icmp4.ECHO_REQUEST ? ECHO_OWNER : DROPPED_OWNER, 0)
    else this.#fragments.setOwner(entry, side, this.table.generationOf(side >> 1))
    for (let block = this.#fragments.takeHeld(entry); block !== NO_BLOCK; block = this.#fragments.takeHeld(entry)) {
      parse(this.#slab.view, this.#held.packetAt(block), this.#held.lengthOf(block), packet)
      const lost = this.#laterFragment(packet, entry, from)
      if (lost !== 0) this.#stats[STAT_DROPS + lost]!++
      this.flush()
      this.#held.release(block)
    }
    return drop
  }

  /** Of an SCTP packet: INIT is never in pieces, and the ports of others must not change. */
  #sctpFragment(packet: Packet, from: Attachment): number {
    const side = this.table.find(packet.source, packet.destination, packet.ports, packet.protocol | (from.zone << 8))
    return side >= 0 && isStranded(packet, this.table, side) ? Drop['sctp-fragment'] : this.#whole(packet, from)
  }

  #laterFragment(packet: Packet, entry: number, from: Attachment): number {
    const owner = this.#fragments.owner(entry)
    if (owner === UNKNOWN_OWNER) return this.#fragments.hold(entry, packet) ? 0 : Drop['fragment-limit']
    if (owner === DROPPED_OWNER) return Drop['fragment-orphan']
    if (owner === ECHO_OWNER) {
      const link = this.#linkTo(packet.source, from)
      if (link < 0 || (link !== 0 && !from.neighbours!.isReachable(link))) return Drop['next-hop-unresolved']
      turnRound(this.#slab.view, packet)
      return this.#sendBack(packet, from, link)
    }
    if (this.table.generationOf(owner >> 1) !== this.#fragments.generation(entry)) return Drop['fragment-orphan']
    this.#identification = this.#fragments.identification(entry)
    const drop = this.#forward(packet, owner, from)
    this.#identification = OWN_IDENTIFICATION
    return drop
  }

  /** Ends datagrams whose fragments did not all come in time, and tells senders whose first one did (RFC 792, type 11 code 1). */
  #expireFragments(second: number): void {
    const fragments = this.#fragments
    let entry = fragments.overdue(second)
    if (entry < 0) return
    for (; entry >= 0; entry = fragments.overdue(second)) {
      this.#reportIncomplete(entry)
      fragments.end(entry, Drop['fragment-expired'])
    }
    this.flush()
  }

  #reportIncomplete(entry: number): void {
    const { view } = this.#slab
    const at = this.#scratch.take(QUOTE_BYTES)
    if (at < 0) return
    const quoted = this.#fragments.writeQuote(view, at, entry)
    if (quoted === 0) return
    const packet = this.#packet
    vnet.clear(view, at - vnet.LENGTH)
    parse(view, at, ipv4.totalLength(view, at), packet)
    packet.length = quoted
    this.#report(packet, this.#attachments[this.#fragments.zone(entry)]!, icmp4.TIME_EXCEEDED, icmp4.CODE_REASSEMBLY, 0)
  }

  /** Tells the sender what became of its packet, where RFC 1812 4.3.2.7 allows it and the rate limit leaves room. */
  #report(packet: Packet, from: Attachment, type: number, code: number, word: number): void {
    if (!mayReportError(packet)) return
    if (!this.#errorLimit.take(this.#now)) {
      this.#stats[STAT_ERRORS_WITHHELD]!++
      return
    }
    const link = this.#linkTo(packet.source, from)
    if (!this.#isReachable(link, from)) return
    const room = Math.min(ERROR_MAX, from.mtu)
    const at = this.#scratch.take(room)
    if (at < 0) {
      this.#stats[STAT_DROPS + Drop['scratch-full']]!++
      return
    }
    const source = from.ownAddress !== 0 ? from.ownAddress : packet.destination
    from.egress.push(at, writeError(this.#slab, at, room, packet, type, code, word, source), link)
  }
}

/** No resources is a passing state, hence the soft error by default (RFC 6888 REQ-8; RFC 5508 REQ-8 has the other). */
const REFUSAL_CODES: Readonly<Record<LimitSettings['refusal'], number>> = { 'host-unreachable': icmp4.CODE_HOST, prohibited: icmp4.CODE_ADMIN_PROHIBITED, silent: -1 }

/** Refusals that tell the sender that there is no way. */
const isUnroutable = (drop: number): boolean => drop === Drop['no-route'] || drop === Drop['no-address'] || drop === Drop['wan-down']

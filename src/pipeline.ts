/**
 * The path of a packet. Read this first.
 *
 *     receive ─► parse ─┬─ later fragment ─► whose datagram? ──────────────┐
 *                       ├─ ICMP error ─────► whose quote? ─► translateError ─► push
 *                       └─ find flow ─┬─ hit ─┬────────────────────────────┤
 *                                     │       └─ rules or routes changed? ─► decide ─┤
 *                                     └─ miss ─► admission ─► open ────────┴─► forward: TTL, MTU, next hop, track,
 *                                                                               translate ─► push ─► send
 *
 * Admission (admission.ts) says what may open a flow: what comes from the LAN, outwards or back into the LAN (hairpin); what
 * comes from the WAN to a forwarded port or to a mapping that admits its sender. Rules are met at the hooks (hooks/hooks.ts): when
 * a flow opens, and again (`#decide`) by packets of a side whose decision is not of this epoch.
 *
 * A packet of a known flow does only what stands on the hit line. Every function here returns 0 when the packet went on its
 * way (or waits for something) and a drop code when it did not; the code is counted in one place, `#receive`. Nothing below
 * throws, logs or allocates for a packet. A refused packet leaves no trace in the flow table.
 */
import { type Admission, ANY_PORT } from './admission.js'
import { type Attachment, ZONE_LAN } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import { type Epoch, EPOCH_MASK, UNDECIDED } from './epoch.js'
import { FragmentPath, type FragmentPathParts } from './fragment-path.js'
import { setTtl, TTL_MAX } from './hooks/changes.js'
import type { Hooks } from './hooks/hooks.js'
import type { Knocks } from './knocks.js'
import type { FlowEvents } from './nat/events.js'
import { expire } from './nat/expire.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_HOP, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import type { Hairpins } from './nat/hairpins.js'
import { checkError, findQuoted, translateError } from './nat/icmp-error.js'
import { OWN_IDENTIFICATION, setIdentification } from './nat/identification.js'
import type { RoomMaker } from './nat/make-room.js'
import type { Rules } from './nat/rules.js'
import type { LimitSettings } from './nat/settings.js'
import type { Sources } from './nat/sources.js'
import { hasPassed, isAnswered, type Tracker } from './nat/track.js'
import { translate } from './nat/translate.js'
import type { NextHopQueue } from './next-hop-queue.js'
import { ANY_ZONE, type Routing, routingCode } from './routing.js'
import { isInvalidSource } from './stack/address-class.js'
import { type HeldPackets, NO_BLOCK } from './stack/held.js'
import { clampMss, MSS_OVERHEAD } from './stack/mss.js'
import { LATER_FRAGMENT, Packet, parse, WHOLE } from './stack/parse.js'
import { wireCount, wireLength } from './stack/segment.js'
import { isSumRight } from './stack/verify.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as tcp from './stack/wire/tcp.js'
import * as vnet from './stack/wire/vnet.js'
import { STAT_DROPS, STAT_REFUSED } from './stats.js'
import type { Recorder } from './trace/recorder.js'
import type { Trace } from './trace/steps.js'
import type { Tracing } from './trace/tracing.js'
import type { DeadFlows } from './worker-protocol.js'

/** Flows closed in one turn at most, so that a million that end at once do not hold up packets. */
const EXPIRE_BUDGET = 512

export interface PipelineParts extends FragmentPathParts {
  readonly lan: Attachment
  /** In the order of their zones. */
  readonly wans: readonly Attachment[]
  readonly admission: Admission
  readonly hooks: Hooks
  readonly routing: Routing
  readonly epoch: Epoch
  readonly tracing: Tracing
  /** What becomes of TCP flows whose link cannot be used any more. */
  readonly deadFlows: DeadFlows
  readonly events: FlowEvents
  readonly queue: NextHopQueue
  /** null where SYNs that nobody waits for are just dropped. */
  readonly knocks: Knocks | null
  readonly hairpins: Hairpins
  readonly sources: Sources
  readonly room: RoomMaker
  readonly rules: Rules
  readonly tracker: Tracker
  /** Idle seconds by timeout class. */
  readonly timeouts: Int32Array
  readonly refusal: LimitSettings['refusal']
  /** Drop what has a wrong transport checksum. */
  readonly verifiesSums: boolean
  readonly mssClamp: boolean
}

export class Pipeline {
  readonly lan: Attachment
  readonly wans: readonly Attachment[]
  readonly table: FlowTable
  /** What is used of what is limited. */
  readonly usage: { readonly sources: Sources; readonly room: RoomMaker; readonly rules: Rules; readonly fragments: HeldPackets }
  readonly #attachments
  readonly #slab
  readonly #scratch
  readonly #clock: Clock
  readonly #admission: Admission
  readonly #hooks: Hooks
  readonly #routing: Routing
  readonly #epoch: Epoch
  readonly #tracing: Tracing
  readonly #deadFlows: DeadFlows
  readonly #events: FlowEvents
  readonly #fragments: FragmentPath
  readonly #identifications
  readonly #queue: NextHopQueue
  readonly #knocks: Knocks | null
  readonly #ownHost
  readonly #reports
  readonly #isKept: (flow: number, now: number) => boolean
  /** ICMP code for who is refused at a limit, or -1 for none. */
  readonly #refusal: number
  readonly #verifiesSums: boolean
  readonly #tracker: Tracker
  readonly #timeouts: Int32Array
  readonly #mssClamp: boolean
  readonly #stats: Float64Array
  readonly #packet = new Packet()
  /** The side that the packet in hand has just been decided for, or -1. */
  #fresh = -1
  /** Bytes that it may have, when it has been decided. */
  #mtu = 0
  readonly #flush = (): void => this.flush()
  /** Told of each second, before flows expire. */
  onSecond: (second: number) => void = () => {}
  /** The last turn's budget did not suffice to end all that is over. */
  #expiring = false

  constructor(parts: PipelineParts) {
    this.lan = parts.lan
    this.wans = parts.wans
    this.table = parts.table
    this.usage = { sources: parts.sources, room: parts.room, rules: parts.rules, fragments: parts.held }
    this.#attachments = parts.attachments
    this.#slab = parts.slab
    this.#scratch = parts.scratch
    this.#clock = parts.clock
    this.#admission = parts.admission
    this.#hooks = parts.hooks
    this.#routing = parts.routing
    this.#epoch = parts.epoch
    this.#tracing = parts.tracing
    this.#deadFlows = parts.deadFlows
    this.#events = parts.events
    this.#identifications = parts.identifications
    this.#queue = parts.queue
    this.#knocks = parts.knocks
    this.#ownHost = parts.ownHost
    this.#reports = parts.reports
    this.#isKept = (flow, now) => parts.hairpins.keeps(flow, now)
    this.#refusal = REFUSAL_CODES[parts.refusal]
    this.#verifiesSums = parts.verifiesSums
    this.#tracker = parts.tracker
    this.#timeouts = parts.timeouts
    this.#mssClamp = parts.mssClamp
    this.#stats = parts.stats
    this.#fragments = new FragmentPath(parts, {
      whole: (packet, from) => this.#whole(packet, from),
      forward: (packet, side, from) => {
        this.#tracing.flow(side)
        return this.#forward(packet, side, from)
      },
      flush: this.#flush,
    })
  }

  /**
   * Sets the clock of everything below (milliseconds, not going back) and, once a second, ends what is over. Returns true
   * when more is waiting to end: call it again soon.
   */
  tick(now: number): boolean {
    const clock = this.#clock
    clock.now = now
    this.#knocks?.answerDue(this.#flush)
    const second = Math.floor(now / 1000)
    if (second === clock.second && !this.#expiring) return false
    clock.second = second
    this.table.setNow(second)
    this.onSecond(second)
    this.#fragments.expire()
    for (let index = 0; index < this.wans.length; index++) this.#failOverdue(this.wans[index]!, now)
    this.#expiring = expire(this.table, this.#timeouts, second, EXPIRE_BUDGET, this.#isKept) === EXPIRE_BUDGET
    return this.#expiring
  }

  /** Gives up the neighbours of a link that have not answered. */
  #failOverdue(wan: Attachment, now: number): void {
    const { neighbours } = wan
    if (neighbours === null) return
    for (let link = neighbours.failOverdue(now); link !== 0; link = neighbours.failOverdue(now)) this.releaseWaiting(wan, link)
  }

  /** Milliseconds, as last set. */
  get now(): number {
    return this.#clock.now
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
    for (let zone = 0; zone < this.#attachments.length; zone++) this.#attachments[zone]!.egress.flush()
    this.#scratch.reset()
  }

  /** The Ethernet address of a next hop on a WAN is known, or will not be: lets the packets go that waited for it. */
  releaseWaiting({ waiting }: Attachment, link: number): void {
    const { held } = this.#queue
    if (waiting === null) return
    let block = waiting.takeAll(link)
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
    const { held } = this.#queue
    const owner = held.ownerOf(block)
    const packet = this.#packet
    this.#identifications.decided = held.identificationOf(block)
    parse(this.#slab.view, held.packetAt(block), held.lengthOf(block), packet)
    let drop = Drop['deleted']
    if (owner < 0) drop = this.#whole(packet, this.#attachments[~owner]!)
    else if (this.table.generationOf(owner >> 1) === held.generationOf(block)) {
      const isFirst = !hasPassed(this.table, owner >> 1)
      this.#mtu = this.#attachments[this.table.egressOf(owner)]!.mtu
      if (!this.#hooks.isIdle) this.#fresh = owner
      drop = this.#forward(packet, owner, this.#attachments[this.table.zoneOf(owner)]!)
      this.#fresh = -1
      if (isFirst) this.#events.confirm(owner >> 1)
    }
    this.#identifications.decided = OWN_IDENTIFICATION
    if (drop !== 0) this.#stats[STAT_DROPS + drop]!++
  }

  #receive(at: number, received: number, from: Attachment): void {
    from.rxPackets++
    from.rxBytes += received
    const packet = this.#packet
    const isTraced = this.#tracing.live !== null && this.#tracing.takes(at, received, from.zone)
    let drop = parse(this.#slab.view, at, received, packet)
    if (drop === 0 && this.#verifiesSums && !isSumRight(this.#slab, packet)) drop = Drop['bad-checksum']
    if (isTraced && drop === 0 && packet.fragment !== LATER_FRAGMENT) this.#tracing.flow(this.#sideOf(packet, from))
    if (drop === 0) drop = packet.fragment === WHOLE ? this.#whole(packet, from) : this.#fragments.receive(packet, from)
    if (drop !== 0) this.#stats[STAT_DROPS + drop]!++
    if (isTraced) this.#tracing.ended(at, received, drop)
  }

  #sideOf(packet: Packet, from: Attachment): number {
    return this.table.find(packet.source, packet.destination, packet.ports, packet.protocol | (from.zone << 8))
  }

  #whole(packet: Packet, from: Attachment): number {
    const side = this.#sideOf(packet, from)
    if (side >= 0) return this.#forward(packet, side, from)
    if (icmp4.isError(packet.icmpType)) return this.#error(packet, from)
    return this.#miss(packet, from)
  }

  /** A packet of no flow: for the gateway itself, the first of a new flow, or refused. @param isMoved its flow was closed for it */
  #miss(packet: Packet, from: Attachment, isMoved = false): number {
    const hooks = this.#hooks
    if (!hooks.isIdle) {
      hooks.meetNew(packet, this.#admission.canOpen(packet, isMoved))
      const stopped = hooks.arrive(packet, from)
      if (stopped !== 0) return stopped
      if (hooks.isUntracked) return this.#passUntracked(packet, from)
    }
    if (this.#isForUs(packet, from)) return this.#receiveLocal(packet, from)
    const side = this.#open(packet, from, isMoved)
    if (side === FORESEEN) return 0
    if (side < 0) return this.#refuse(packet, from, -side)
    this.#knocks?.meet(packet, this.table, side)
    const drop = this.#forward(packet, side, from)
    this.#fresh = -1
    if (drop !== 0) this.#closeUnused(side)
    this.#events.confirm(side >> 1)
    return drop
  }

  /** On the WAN's own addresses only pings are the gateway's, and they may be forwarded: ports may be forwarded or somebody's mapping. */
  #isForUs(packet: Packet, from: Attachment): boolean {
    const { hasDestination, destination } = this.#hooks
    if (hasDestination) return destination.address === from.firstAddress
    const isOurs = from.zone === ZONE_LAN || (packet.icmpType === icmp4.ECHO_REQUEST && !this.#admission.isForwarded(packet))
    return isOurs && from.localAddresses.has(packet.destination)
  }

  /** A packet for the gateway itself, which rules have let arrive. */
  #receiveLocal(packet: Packet, from: Attachment): number {
    const stopped = this.#hooks.isIdle ? 0 : this.#askLocal(packet, from)
    if (stopped !== 0) return stopped
    this.#tracing.recorder?.local()
    return this.#ownHost.receive(packet, from)
  }

  /** INPUT, which sees the destination that rules have given the packet. Returns 0 or a drop code. */
  #askLocal(packet: Packet, from: Attachment): number {
    const { hasDestination, destination } = this.#hooks
    if (hasDestination) this.#hooks.redirected(destination.address, destination.port)
    return this.#hooks.local(packet, from)
  }

  /** A packet may open no flow. Pings of the WAN's own addresses are answered to the LAN, SYNs from the WAN held. */
  #refuse(packet: Packet, from: Attachment, drop: number): number {
    const isPing = from.zone === ZONE_LAN && drop === Drop['to-gateway'] && packet.icmpType === icmp4.ECHO_REQUEST
    if (!this.#hooks.isIdle && !isPing && isNobodys(drop) && this.#isOutside(packet)) {
      const stopped = this.#askLocal(packet, from)
      if (stopped !== 0) return stopped
    }
    if (from.zone !== ZONE_LAN) {
      if (this.#knocks !== null && !this.#tracing.isDry && this.#admission.addresses.has(packet.destination)) this.#knocks.hear(packet, drop, from)
      return drop
    }
    return isPing ? this.#receiveLocal(packet, from) : drop
  }

  /** Whether a packet goes to an outside address of the gateway, as rules of PREROUTING have left it. */
  #isOutside(packet: Packet): boolean {
    const { hasDestination, destination } = this.#hooks
    return this.#admission.addresses.has(hasDestination ? destination.address : packet.destination)
  }

  /** Opens a flow for a packet of none, which has met PREROUTING. Returns its original side, or -(drop code). */
  #open(packet: Packet, from: Attachment, isMoved: boolean): number {
    const admission = this.#admission
    const refused = admission.plan(packet, from, isMoved)
    if (refused !== 0) {
      if (from.zone === ZONE_LAN) this.#tellOfNoWay(packet, from, refused)
      return -refused
    }
    const { egress } = admission
    this.#mtu = from.zone === ZONE_LAN && egress.zone !== ZONE_LAN ? this.#routing.mtu : egress.mtu
    const unfit = this.#checkPath(packet, from, this.#mtu)
    if (unfit !== 0) return -unfit
    if (!this.#hooks.isIdle) {
      const stopped = this.#askToPass(packet, from, egress)
      if (stopped !== 0) return -stopped
    }
    const { recorder } = this.#tracing
    if (recorder !== null && recorder.isDry) return this.#foresee(packet, from, recorder)
    const side = admission.commit(packet, from, this.#clock.now)
    if (side < 0) {
      this.#stats[STAT_REFUSED]!++
      if (this.#refusal >= 0) this.#reports.send(packet, from, icmp4.UNREACHABLE, this.#refusal)
      return side
    }
    // It has met its rules: what comes of that is not looked for again with this packet.
    if (!this.#hooks.isIdle) this.#hooks.opened(side >> 1)
    recorder?.flow(side, true)
    const link = egress.zone === ZONE_LAN ? 0 : from.zone === ZONE_LAN ? this.#routing.link : egress.linkTo(admission.rewrite.destination)
    if (link < 0) {
      this.table.close(side >> 1)
      this.#tellOfNoWay(packet, from, Drop['no-route'])
      return -Drop['no-route']
    }
    this.#fresh = side
    const epoch = this.#hooks.isIdle && this.#mtu === egress.mtu ? this.#epoch.value : UNDECIDED
    const at = side * SIDE_WORDS + SIDE_HOP
    this.table.sides[at] = (link << 16) | epoch
    if (from.zone === ZONE_LAN) this.table.sides[at + SIDE_WORDS] = epoch
    return side
  }

  /** FORWARD and POSTROUTING, for a packet that is to open a flow. Returns 0 or a drop code. */
  #askToPass(packet: Packet, from: Attachment, to: Attachment): number {
    const hooks = this.#hooks
    const { destination, destinationPort } = this.#admission.rewrite
    hooks.redirected(destination, destinationPort)
    const stopped = hooks.pass(packet, -1, from, to)
    if (stopped !== 0) return stopped
    const held = hooks.leave(packet, from, to)
    return held !== 0 ? held : this.#admission.leaveAs()
  }

  /** Tells a sender inside that there is no way to where he wants to, or none for his protocol. */
  #tellOfNoWay(packet: Packet, from: Attachment, refused: number): void {
    const code = refused === Drop['no-address'] || refused === Drop['wan-down'] ? icmp4.CODE_NET : routingCode(refused)
    if (code >= 0) this.#reports.send(packet, from, icmp4.UNREACHABLE, code)
    if (refused === Drop['protocol-refused']) {
      // No setting of tsnat's lets AH pass; that others do not is as if nobody there knew them.
      this.#reports.send(packet, from, icmp4.UNREACHABLE, packet.protocol === ipv4.PROTOCOL_AH ? icmp4.CODE_ADMIN_PROHIBITED : icmp4.CODE_PROTOCOL)
    }
  }

  /** Sends a packet of a flow on its way. */
  #forward(packet: Packet, side: number, from: Attachment): number {
    const { table } = this
    const to = this.#attachments[table.egressOf(side)]!
    let link = table.sides[side * SIDE_WORDS + SIDE_HOP]!
    let { mtu } = to
    if ((link & EPOCH_MASK) === this.#epoch.value && (packet.tcpFlags & this.#hooks.watchedFlags) === 0) link >>>= 16
    else {
      link = this.#decide(packet, side, from, to)
      if (link < 0) return ~link
      mtu = this.#mtu
    }
    if (packet.ttl <= 1 || packet.length > mtu) {
      const unfit = this.#checkPath(packet, from, mtu)
      if (unfit !== 0) return unfit
    }
    const identification = ipv4.isAtomic(this.#slab.view, packet.at) ? OWN_IDENTIFICATION : this.#identify(packet, side)
    if (link !== 0 && !to.neighbours!.isReachable(link)) {
      if (packet.ttl > TTL_MAX) setTtl(this.#slab.view, packet, TTL_MAX)
      const lost = this.#queue.add(packet, link, side, table.generationOf(side >> 1), identification, from, to)
      if (lost === Drop['next-hop-unresolved']) this.#closeUnused(side)
      return lost
    }

    const verdict = this.#tracker.track(this.#slab.view, packet, side, this.#clock.second)
    if (verdict > 0) return verdict
    if ((packet.tcpFlags & tcp.SYN) !== 0 && this.#mssClamp) clampMss(this.#slab.view, packet, Math.min(from.mtu, mtu) - MSS_OVERHEAD)
    if (identification !== OWN_IDENTIFICATION) setIdentification(this.#slab.view, packet.at, identification)
    translate(this.#slab.view, packet, table, side)
    if (verdict < 0) table.close(side >> 1)
    if (packet.length > mtu && wireLength(this.#slab.view, packet.at, packet.length) > mtu) {
      return to.egress.pushFragmented(packet.at, packet.length, mtu, link)
    }
    return to.egress.push(packet.at, packet.length, link)
  }

  /**
   * A packet of a side that has to ask again: its rules, its route or both. What comes out is stored with the side, if it is the same for
   * its next packets. Returns the link to its next hop, or ~(drop code): ~0 when the packet went another way.
   */
  #decide(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    const hooks = this.#hooks
    const { sides } = this.table
    const at = side * SIDE_WORDS + SIDE_HOP
    // It opened the flow, or has waited for its next hop: its rules have been asked.
    if (this.#fresh === side) return sides[at]! >>> 16
    if (!hooks.isIdle) {
      hooks.meetKnown(packet, side)
      const stopped = hooks.arrive(packet, from)
      if (stopped !== 0) return ~stopped
      if (hooks.isUntracked) return ~this.#passUntracked(packet, from)
    }
    const link = this.#route(packet, side, from, to)
    if (link < 0) return link
    let isStored = this.#mtu === to.mtu
    if (!hooks.isIdle) {
      const unfit = this.#checkPath(packet, from, this.#mtu)
      if (unfit !== 0) return ~unfit
      const stopped = hooks.pass(packet, side, from, to)
      if (stopped !== 0) return ~stopped
      const held = hooks.leave(packet, from, to)
      if (held !== 0) return ~held
      isStored = !this.#tracing.isDry && hooks.store(packet, side) && isStored
    }
    if (this.#tracing.isDry) return link
    sides[at] = (link << 16) | (isStored ? this.#epoch.value : UNDECIDED)
    return link
  }

  /** A packet that rules keep from being tracked, after PREROUTING: routed as it is. Returns 0 or a drop code. */
  #passUntracked(packet: Packet, from: Attachment): number {
    const hooks = this.#hooks
    if (this.#isForUs(packet, from)) return this.#receiveLocal(packet, from)
    if (this.#isOutside(packet)) return hooks.local(packet, from) || Drop['no-flow']
    const refused = this.#routing.find(packet, from, packet.destination, packet.ports & 0xffff, hooks.mark, ANY_ZONE)
    const { to } = this.#routing
    if (from.zone !== ZONE_LAN && (refused !== 0 || to.zone !== ZONE_LAN)) return Drop['no-flow']
    if (refused !== 0) {
      this.#tellOfNoWay(packet, from, refused)
      return refused
    }
    const link = to.zone === ZONE_LAN ? 0 : this.#routing.link
    if (link < 0) return Drop['no-route']
    const mtu = from.zone === ZONE_LAN ? this.#routing.mtu : to.mtu
    const unfit = this.#checkPath(packet, from, mtu)
    if (unfit !== 0) return unfit
    const { isDry } = this.#tracing
    if (link !== 0 && !isDry && !to.neighbours!.isReachable(link)) return this.#queue.add(packet, link, ~from.zone, 0, OWN_IDENTIFICATION, from, to)
    const stopped = hooks.pass(packet, -1, from, to)
    if (stopped !== 0) return stopped
    const held = hooks.leave(packet, from, to)
    if (held !== 0) return held
    setTtl(this.#slab.view, packet, packet.ttl - 1)
    this.#tracing.sent(packet.at, packet.length, to, link)
    if (isDry) return 0
    if (packet.length > mtu && wireLength(this.#slab.view, packet.at, packet.length) > mtu) {
      return to.egress.pushFragmented(packet.at, packet.length, mtu, link)
    }
    return to.egress.push(packet.at, packet.length, link)
  }

  /** The ID that a packet that is or may be fragmented leaves with: a new one if its source changes (nat/identification.ts). */
  #identify(packet: Packet, side: number): number {
    const identifications = this.#identifications
    if (identifications.decided !== OWN_IDENTIFICATION) return identifications.decided
    const count = wireCount(this.#slab.view, packet.at, packet.length)
    const identification = identifications.choose(this.table, side, packet.protocol, count)
    if (packet.fragment !== WHOLE) identifications.decided = identification
    return identification
  }

  /** TTL and MTU of the way out. Returns 0 or a drop code, the sender having been told. @param mtu bytes */
  #checkPath(packet: Packet, from: Attachment, mtu: number): number {
    if (packet.ttl <= 1) {
      this.#reports.send(packet, from, icmp4.TIME_EXCEEDED, icmp4.CODE_TTL)
      return Drop['ttl-expired']
    }
    if (!ipv4.dontFragment(this.#slab.view, packet.at) || wireLength(this.#slab.view, packet.at, packet.length) <= mtu) return 0
    this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_FRAGMENTATION_NEEDED, mtu)
    return Drop['too-big']
  }

  /**
   * Looks up the way of a packet of a known flow again. What comes from inside on the flow's own side is routed; replies, and what came
   * in from a WAN, go where the flow goes. Returns the link to the next hop, or ~(drop code): ~0 when the packet went another way.
   */
  #route(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    const { table } = this
    const other = (side ^ 1) * SIDE_WORDS
    const destination = table.sides[other + SIDE_SOURCE]!
    this.#mtu = to.mtu
    if (to.zone === ZONE_LAN) return 0
    if (from.zone !== ZONE_LAN || (side & 1) !== 0) {
      const link = to.linkTo(destination)
      if (link >= 0) return link
      this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_NET)
      return ~Drop['no-route']
    }
    // As long as the flow's own link leads there, it stays: its address there is known to the other end.
    const port = table.sides[other + SIDE_PORTS]! >>> 16
    const refused = this.#routing.find(packet, from, destination, port, this.#hooks.mark, to.zone)
    if (refused === 0) {
      this.#mtu = this.#routing.mtu
      return this.#routing.link < 0 ? ~Drop['no-route'] : this.#routing.link
    }
    if (refused === Drop['no-route'] && this.#routing.find(packet, from, destination, port, this.#hooks.mark, ANY_ZONE) === 0) {
      return ~this.#moveAway(packet, side, from)
    }
    this.#tellOfNoWay(packet, from, refused)
    return ~refused
  }

  /** The link of a flow leads nowhere any more, another one does. Returns 0 or a drop code. */
  #moveAway(packet: Packet, side: number, from: Attachment): number {
    const flow = side >> 1
    const { sides } = this.table
    const isTranslated = sides[side * SIDE_WORDS + SIDE_SOURCE] !== sides[(side ^ 1) * SIDE_WORDS + SIDE_DESTINATION]
    const isConnected = packet.protocol === ipv4.PROTOCOL_TCP && isAnswered(this.table, flow)
    if (isConnected && isTranslated) {
      if (this.#deadFlows === 'leave') return Drop['link-dead']
      if (this.#deadFlows === 'reset') this.#reports.reset(packet, from)
      else this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_HOST)
      if (!this.#tracing.isDry) this.table.close(flow)
      return Drop['link-dead']
    }
    // Nobody has to be told: the next packets have another address outside, as if they were the first.
    if (!this.#tracing.isDry) this.table.close(flow)
    return this.#miss(packet, from, !isTranslated)
  }

  /** Forgets a flow of which no packet has passed. */
  #closeUnused(side: number): void {
    const flow = side >> 1
    if (this.table.isLive(flow) && !hasPassed(this.table, flow)) this.table.close(flow)
  }

  /** The hooks of an ICMP error about a flow. Returns 0 or a drop code. */
  #askRelated(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    const hooks = this.#hooks
    hooks.meetRelated(packet, side)
    const stopped = hooks.arrive(packet, from)
    if (stopped !== 0) return stopped
    if (packet.ttl <= 1) return Drop['ttl-expired']
    const refused = hooks.pass(packet, side, from, to)
    return refused !== 0 ? refused : hooks.leave(packet, from, to)
  }

  /**
   * What would become of a packet that came from `from`? Nothing is opened, counted or sent; the tracker of connections and limits are not
   * asked.
   * @param mark that it comes with; @param isNew as if no flow had its tuple
   */
  explain(recorder: Recorder, bytes: Uint8Array, from: Attachment, mark: number, isNew: boolean): Trace {
    const { view, bytes: slab } = this.#slab
    const at = this.#scratch.take(bytes.length)
    vnet.clear(view, at - vnet.LENGTH)
    slab.set(bytes, at)
    recorder.begin(view, at, bytes.length, from.zone, mark)
    recorder.isDry = true
    this.#tracing.start(recorder)
    this.#hooks.beginDry(mark)
    const packet = this.#packet
    let drop = parse(view, at, bytes.length, packet)
    if (drop === 0) {
      const side = isNew ? -1 : this.#sideOf(packet, from)
      this.#tracing.flow(side)
      drop = side < 0 ? this.#miss(packet, from) : this.#explainKnown(packet, side, from)
    }
    if (drop !== 0) recorder.dropped(drop)
    this.#hooks.endDry()
    this.#tracing.stop()
    this.#scratch.reset()
    return recorder.take()
  }

  /** As `#forward`, without tracking. */
  #explainKnown(packet: Packet, side: number, from: Attachment): number {
    const { view } = this.#slab
    const to = this.#attachments[this.table.egressOf(side)]!
    const link = this.#decide(packet, side, from, to)
    if (link < 0) return ~link
    const unfit = this.#checkPath(packet, from, this.#mtu)
    if (unfit !== 0) return unfit
    if ((packet.tcpFlags & tcp.SYN) !== 0 && this.#mssClamp) clampMss(view, packet, Math.min(from.mtu, this.#mtu) - MSS_OVERHEAD)
    translate(view, packet, this.table, side)
    this.#tracing.sent(packet.at, packet.length, to, link)
    return 0
  }

  /** Tells what flow a packet would open that may open one. Returns FORESEEN, or -(drop code). */
  #foresee(packet: Packet, from: Attachment, recorder: Recorder): number {
    const { view } = this.#slab
    const { rewrite, egress } = this.#admission
    const port = this.#admission.foresee(packet, from, this.#clock.now)
    if (port < 0) return port
    const { source, destination, destinationPort } = rewrite
    const isMoved = destination !== packet.destination || destinationPort !== (packet.ports & 0xffff)
    if (isMoved) recorder.translation('destination', destination, destinationPort)
    if (source !== packet.source || port !== packet.ports >>> 16) recorder.translation('source', source, port === ANY_PORT ? null : port)
    if ((packet.tcpFlags & tcp.SYN) !== 0 && this.#mssClamp) clampMss(view, packet, Math.min(from.mtu, this.#mtu) - MSS_OVERHEAD)
    setTtl(view, packet, packet.ttl - 1)
    recorder.rewritten(view, packet.at, packet.length)
    const isRouted = from.zone === ZONE_LAN && egress.zone !== ZONE_LAN
    recorder.sent(egress.zone, egress.neighbours === null ? null : isRouted ? this.#routing.nextHop : destination)
    return FORESEEN
  }

  /** An ICMP error: it goes to whoever sent what it quotes. It neither refreshes nor ends the flow. */
  #error(packet: Packet, from: Attachment): number {
    const bad = checkError(this.#slab, packet)
    if (bad !== 0) return bad
    const side = findQuoted(this.#slab.view, packet, this.table, from.zone)
    if (side < 0) return Drop['no-flow']
    this.#tracing.recorder?.flow(side, false)
    if (packet.ttl <= 1 && this.#hooks.isIdle) return Drop['ttl-expired']
    if (isInvalidSource(packet.source)) return Drop['invalid-source']
    const to = this.#attachments[this.table.egressOf(side)]!
    const link = to.linkTo(this.table.sides[(side ^ 1) * SIDE_WORDS + SIDE_SOURCE]!)
    if (link < 0) return Drop['no-route']
    if (!this.#hooks.isIdle) {
      const stopped = this.#askRelated(packet, side, from, to)
      if (stopped !== 0) return stopped
    }
    if (packet.length > to.mtu && ipv4.dontFragment(this.#slab.view, packet.at)) return Drop['too-big']
    if (link !== 0 && !to.neighbours!.isReachable(link)) return this.#queue.add(packet, link, ~from.zone, 0, OWN_IDENTIFICATION, from, to)
    if (!ipv4.isAtomic(this.#slab.view, packet.at)) {
      const identification = this.#identifications.choose(this.table, side, ipv4.PROTOCOL_ICMP, 1)
      if (identification !== OWN_IDENTIFICATION) setIdentification(this.#slab.view, packet.at, identification)
    }
    translateError(this.#slab, packet, this.table, side)
    this.#tracing.sent(packet.at, packet.length, to, link)
    return to.egress.pushWithin(packet.at, packet.length, to.mtu, link)
  }
}

/** Whether a packet was refused as it belongs to no flow and to no host inside. */
const isNobodys = (drop: number): boolean => drop === Drop['no-flow'] || drop === Drop['filtered'] || drop === Drop['to-gateway']

/** In place of a side: a flow would be opened. */
const FORESEEN = 0x7fffffff

/** No resources is a passing state, hence the soft error by default (RFC 6888 REQ-8; RFC 5508 REQ-8 has the other). */
const REFUSAL_CODES: Readonly<Record<LimitSettings['refusal'], number>> = { 'host-unreachable': icmp4.CODE_HOST, prohibited: icmp4.CODE_ADMIN_PROHIBITED, silent: -1 }

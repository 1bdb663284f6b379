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
 * A flow that ends at a socket of the gateway's, and packets for such a socket that belong to none, leave that picture for local-path.ts.
 *
 * Admission (admission.ts) says what may open a flow: what comes from the LAN, outwards or back into the LAN (hairpin); what
 * comes from the WAN to a forwarded port or to a mapping that admits its sender. Rules are met at the hooks (hooks/hooks.ts): when
 * a flow opens (new-flows.ts), and again by packets of a side whose decision is not of this epoch (known-flows.ts).
 *
 * A packet of a known flow does only what stands on the hit line. Every function here returns 0 when the packet went on its
 * way (or waits for something) and a drop code when it did not; the code is counted in one place, `#receive`. Nothing below
 * throws, logs or allocates for a packet. A refused packet leaves no trace in the flow table.
 */
import type { Attachment } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import { type Epoch, EPOCH_MASK } from './epoch.js'
import { ErrorPath } from './error-path.js'
import { Explainer } from './explain.js'
import { FragmentPath, type FragmentPathParts } from './fragment-path.js'
import { setTtl, TTL_MAX } from './hooks/changes.js'
import type { Hooks } from './hooks/hooks.js'
import { KnownFlows, type KnownFlowsParts } from './known-flows.js'
import { LocalPath, type LocalPathParts } from './local-path.js'
import { expire } from './nat/expire.js'
import { type FlowTable, SIDE_HOP, SIDE_WORDS, ZONE_SELF } from './nat/flow-table.js'
import type { Hairpins } from './nat/hairpins.js'
import { OWN_IDENTIFICATION, setIdentification } from './nat/identification.js'
import type { RoomMaker } from './nat/make-room.js'
import type { Rules } from './nat/rules.js'
import type { Sources } from './nat/sources.js'
import { closeUnused, hasPassed, type Tracker } from './nat/track.js'
import { translate } from './nat/translate.js'
import { NewFlows, type NewFlowsParts } from './new-flows.js'
import { NewLocal, type NewLocalParts } from './new-local.js'
import { HELD_OWN, type OwnEgress } from './own-egress.js'
import { PathCheck, type PathCheckParts } from './path-check.js'
import { type HeldPackets, NO_BLOCK } from './stack/held.js'
import { clampMss, MSS_OVERHEAD } from './stack/mss.js'
import { LATER_FRAGMENT, Packet, parse, WHOLE } from './stack/parse.js'
import { wireCount, wireLength } from './stack/segment.js'
import { isSumRight } from './stack/verify.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as tcp from './stack/wire/tcp.js'
import { STAT_DROPS } from './stats.js'
import type { Tracing } from './trace/tracing.js'

/** Flows closed in one turn at most, so that a million that end at once do not hold up packets. */
const EXPIRE_BUDGET = 512

export interface PipelineParts extends Omit<FragmentPathParts, 'local'>, Omit<KnownFlowsParts, 'paths'>, Omit<NewFlowsParts, 'paths' | 'local' | 'newLocal'>, Omit<NewLocalParts, 'paths' | 'local'>, PathCheckParts, LocalPathParts {
  readonly lan: Attachment
  /** In the order of their zones. */
  readonly wans: readonly Attachment[]
  readonly hairpins: Hairpins
  readonly sources: Sources
  readonly room: RoomMaker
  readonly rules: Rules
  readonly tracker: Tracker
  /** Of what the gateway's own sockets send; null without any. */
  readonly ownEgress: OwnEgress | null
  /** Idle seconds by timeout class. */
  readonly timeouts: Int32Array
  /** Drop what has a wrong transport checksum. */
  readonly verifiesSums: boolean
}

export class Pipeline {
  readonly lan: Attachment
  readonly wans: readonly Attachment[]
  readonly table: FlowTable
  /** What is used of what is limited. */
  readonly usage: { readonly sources: Sources; readonly room: RoomMaker; readonly rules: Rules; readonly fragments: HeldPackets }
  /** Of packets that did not come: what would become of them? */
  readonly explainer: Explainer
  readonly #attachments
  readonly #slab
  readonly #scratch
  readonly #clock: Clock
  readonly #hooks: Hooks
  readonly #epoch: Epoch
  readonly #tracing: Tracing
  readonly #events
  readonly #knocks
  readonly #ownEgress: OwnEgress | null
  readonly #paths: PathCheck
  readonly #local: LocalPath
  readonly #known: KnownFlows
  readonly #new: NewFlows
  readonly #errors: ErrorPath
  readonly #fragments: FragmentPath
  readonly #identifications
  readonly #queue
  readonly #isKept: (flow: number, now: number) => boolean
  readonly #verifiesSums: boolean
  readonly #tracker: Tracker
  readonly #timeouts: Int32Array
  readonly #mssClamp: boolean
  readonly #stats: Float64Array
  readonly #packet = new Packet()
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
    this.#hooks = parts.hooks
    this.#epoch = parts.epoch
    this.#tracing = parts.tracing
    this.#events = parts.events
    this.#knocks = parts.knocks
    this.#ownEgress = parts.ownEgress
    this.#identifications = parts.identifications
    this.#queue = parts.queue
    this.#isKept = (flow, now) => parts.hairpins.keeps(flow, now)
    this.#verifiesSums = parts.verifiesSums
    this.#tracker = parts.tracker
    this.#timeouts = parts.timeouts
    this.#mssClamp = parts.mssClamp
    this.#stats = parts.stats
    const paths = new PathCheck(parts)
    this.#paths = paths
    const local = new LocalPath(parts, (packet, from) => this.#new.passUntracked(packet, from))
    this.#local = local
    const newLocal = new NewLocal({ ...parts, paths, local })
    this.#known = new KnownFlows({ ...parts, paths }, {
      reopen: (packet, from, isTracked) => this.#new.receive(packet, from, isTracked),
      passUntracked: (packet, from) => this.#new.passUntracked(packet, from),
      intercept: (packet, from) => newLocal.intercept(packet, from),
      divert: (packet, from) => newLocal.divert(packet, from),
    })
    this.#new = new NewFlows({ ...parts, paths, local, newLocal }, this.#known, (packet, side, from) => this.#forward(packet, side, from))
    this.#errors = new ErrorPath({ ...parts, local })
    this.explainer = new Explainer({ ...parts, paths, local }, this.#known, this.#new)
    this.#fragments = new FragmentPath({ ...parts, local }, {
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
  releaseWaiting(wan: Attachment, link: number): void {
    const { held } = this.#queue
    const { waiting } = wan
    if (waiting === null) return
    let block = waiting.takeAll(link)
    while (block !== NO_BLOCK) {
      const next = held.next(block)
      this.#resume(block, wan, link)
      this.flush()
      held.release(block)
      block = next
    }
  }

  /** Goes on with a packet that waited for its next hop. */
  #resume(block: number, wan: Attachment, link: number): void {
    const { held } = this.#queue
    const owner = held.ownerOf(block)
    const packet = this.#packet
    this.#identifications.decided = held.identificationOf(block)
    parse(this.#slab.view, held.packetAt(block), held.lengthOf(block), packet)
    let drop = Drop['deleted']
    if (owner === HELD_OWN) drop = this.#ownEgress!.release(packet, wan, link, held.generationOf(block))
    else if (owner < 0) drop = this.#whole(packet, this.#attachments[~owner]!)
    else if (this.table.generationOf(owner >> 1) === held.generationOf(block)) {
      const isFirst = !hasPassed(this.table, owner >> 1)
      this.#known.mtu = this.#attachments[this.table.egressOf(owner)]!.mtu
      if (!this.#hooks.isIdle) this.#known.fresh = owner
      drop = this.#forward(packet, owner, this.#attachments[this.table.zoneOf(owner)]!)
      this.#known.fresh = -1
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
    if (icmp4.isError(packet.icmpType)) return this.#errors.receive(packet, from)
    return this.#new.receive(packet, from)
  }

  /** Sends a packet of a flow on its way. */
  #forward(packet: Packet, side: number, from: Attachment): number {
    const { table } = this
    const zone = table.egressOf(side)
    if (zone === ZONE_SELF) return this.#local.receive(packet, side, from)
    const to = this.#attachments[zone]!
    let link = table.sides[side * SIDE_WORDS + SIDE_HOP]!
    let { mtu } = to
    if ((link & EPOCH_MASK) === this.#epoch.value && (packet.tcpFlags & this.#hooks.watchedFlags) === 0) link >>>= 16
    else {
      link = this.#known.decide(packet, side, from, to)
      if (link < 0) return ~link
      mtu = this.#known.mtu
    }
    if (packet.ttl <= 1 || packet.length > mtu) {
      const unfit = this.#paths.check(packet, from, mtu)
      if (unfit !== 0) return unfit
    }
    const identification = ipv4.isAtomic(this.#slab.view, packet.at) ? OWN_IDENTIFICATION : this.#identify(packet, side)
    if (link !== 0 && !to.neighbours!.isReachable(link)) {
      if (packet.ttl > TTL_MAX) setTtl(this.#slab.view, packet, TTL_MAX)
      const lost = this.#queue.add(packet, link, side, table.generationOf(side >> 1), identification, from, to)
      if (lost === Drop['next-hop-unresolved']) closeUnused(table, side)
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

  /** The ID that a packet that is or may be fragmented leaves with: a new one if its source changes (nat/identification.ts). */
  #identify(packet: Packet, side: number): number {
    const identifications = this.#identifications
    if (identifications.decided !== OWN_IDENTIFICATION) return identifications.decided
    const count = wireCount(this.#slab.view, packet.at, packet.length)
    const identification = identifications.choose(this.table, side, packet.protocol, count)
    if (packet.fragment !== WHOLE) identifications.decided = identification
    return identification
  }
}

/**
 * What came out of the rules of a hook. One object, used again for the next packet.
 *
 * A caller may store what came out for a side of a flow, and apply it to later packets of that side in the same state (`state` of the
 * packet) without asking the rules: `depends` says what else must be the same. With DEPENDS_PACKET nothing can be stored. To apply
 * means: verdict, `tosKeep` and `tosFlip`, `ttlSet` and `ttlDelta`, mark and connmark as they came out, and counting `path`. Later
 * fragments are other packets to rules, as they have no ports.
 */
import { REJECT_KINDS, type SynproxyTarget, type TproxyTarget } from '../model.js'
import type { NatAction } from './nat-action.js'
import type { PacketMeta } from './packet-meta.js'

export const ACCEPT = 0
export const DROP = 1
/** Dropped, and the sender is told: see `rejectWith`. */
export const REJECT = 2
/** Accepted, and for `socket`, if routes lead to this host. */
export const TPROXY = 3
/** For the SYN proxy that `synproxy` describes, which answers it, or checks the cookie in it. */
export const SYNPROXY = 4
/** Dropped: TPROXY found no socket. */
export const NO_SOCKET = 5

/** Something that each packet has for itself, or that the rules do with each. */
export const DEPENDS_PACKET = 1
/** TCP flags, PSH apart. */
export const DEPENDS_FLAGS = 2
/** The mark that the packet came with. */
export const DEPENDS_MARK = 4
/** The mark that the flow had. */
export const DEPENDS_CONNMARK = 8
/** `status` of the flow. */
export const DEPENDS_STATUS = 16
/** What is in the sets. */
export const DEPENDS_SETS = 32
/** What the routing tables say of addresses. */
export const DEPENDS_ROUTES = 64

/** Rules that a path can hold. A longer one cannot be stored. */
const PATH_MAX = 64
const LOG_MAX = 32

export class Outcome {
  verdict = ACCEPT
  /** The rule or policy that decided: the last one that was met. */
  rule = -1
  /** Index in REJECT_KINDS. */
  rejectWith = 0
  tproxy: TproxyTarget | null = null
  /** Row of the socket that TPROXY gave the packet to; -1: none. */
  socket = -1
  synproxy: SynproxyTarget | null = null
  /** What the table nat decided; null: nothing, or that the addresses stay. */
  nat: NatAction | null = null
  /** The rule that said so, by index; -1: none. */
  natRule = -1
  notrack = false

  /** As the packet and the flow have them by now. */
  mark = 0
  connmark = 0
  tos = 0
  ttl = 0
  /** What was done to the type of service: `(tos & tosKeep) ^ tosFlip`. */
  tosKeep = 0xff
  tosFlip = 0
  /** What was done to the TTL: it was set to `ttlSet` (-1: to nothing), then `ttlDelta` was added, within 0 … 255. */
  ttlSet = -1
  ttlDelta = 0
  /** To lower the segment size in a SYN to; 65535: leave it. */
  mss = 0xffff
  /** It is lowered to what the path takes, too. */
  clampsMss = false
  /** What the path takes, as far as the caller knows it; 65535: unknown. */
  pathMss = 0xffff

  /** Bits of DEPENDS_*. */
  depends = 0
  /** Rules and policies that were met, by index in the compiled rule set, in order. */
  readonly path = new Int32Array(PATH_MAX)
  pathLength = 0
  /** Rules that log the packet, by index, in order, and the mark that the packet had then. */
  readonly logs = new Int32Array(LOG_MAX)
  readonly logMarks = new Float64Array(LOG_MAX)
  logCount = 0
  /** Those that found no room. */
  lostLogs = 0

  /** Bits of STATE that the rules see. */
  state = 0
  /** Whether the packet belongs to a flow, as the rules see it. */
  isTracked = false
  /** A test found the packet so broken, or itself so full, that the packet is dropped. */
  hotDrop = false
  /** Nothing is counted, taken or added: what would be? */
  isDry = false

  begin(packet: PacketMeta): void {
    this.verdict = ACCEPT
    this.rule = -1
    this.tproxy = null
    this.socket = -1
    this.synproxy = null
    this.nat = null
    this.natRule = -1
    this.notrack = false
    this.mark = packet.mark
    this.connmark = packet.connmark
    this.tos = packet.tos
    this.ttl = packet.ttl
    this.tosKeep = 0xff
    this.tosFlip = 0
    this.ttlSet = -1
    this.ttlDelta = 0
    this.mss = 0xffff
    this.clampsMss = false
    this.pathMss = 0xffff
    this.depends = 0
    this.pathLength = 0
    this.logCount = 0
    this.lostLogs = 0
    this.hotDrop = false
  }

  get rejectKind(): (typeof REJECT_KINDS)[number] {
    return REJECT_KINDS[this.rejectWith]!
  }

  meet(rule: number): void {
    this.rule = rule
    if (this.pathLength < PATH_MAX) this.path[this.pathLength++] = rule
    else this.depends |= DEPENDS_PACKET
  }

  log(rule: number): void {
    if (this.logCount === LOG_MAX) {
      this.lostLogs++
      return
    }
    this.logs[this.logCount] = rule
    this.logMarks[this.logCount++] = this.mark
  }

  changeTos(keep: number, flip: number): void {
    this.tos = (this.tos & keep) ^ flip
    this.tosKeep &= keep
    this.tosFlip = (this.tosFlip & keep) ^ flip
  }
}

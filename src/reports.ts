/**
 * ICMP errors of the gateway's own: what became of a packet, told to its sender where RFC 1812 4.3.2.7 allows it, there is a way
 * back, and the rate limit leaves room.
 */
import type { Attachment } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import type { RejectKind } from './policy/model.js'
import type { Slab } from './stack/batch.js'
import type { Packet } from './stack/parse.js'
import { ERROR_MAX, mayReportError, mayReset, RESET_LENGTH, writeError, writeReset } from './stack/reply.js'
import type { Scratch } from './stack/scratch.js'
import type { TokenBucket } from './stack/token-bucket.js'
import * as icmp4 from './stack/wire/icmp4.js'
import { STAT_DROPS, STAT_ERRORS_WITHHELD } from './stats.js'
import type { Tracing } from './trace/tracing.js'

/** Codes of ICMP type 3, by the words of iptables. */
const REJECT_CODES: Readonly<Record<Exclude<RejectKind, 'tcp-reset'>, number>> = {
  'icmp-net-unreachable': icmp4.CODE_NET,
  'icmp-host-unreachable': icmp4.CODE_HOST,
  'icmp-port-unreachable': icmp4.CODE_PORT,
  'icmp-proto-unreachable': icmp4.CODE_PROTOCOL,
  'icmp-net-prohibited': icmp4.CODE_NET_PROHIBITED,
  'icmp-host-prohibited': icmp4.CODE_HOST_PROHIBITED,
  'icmp-admin-prohibited': icmp4.CODE_ADMIN_PROHIBITED,
}

export interface ReportsParts {
  readonly slab: Slab
  readonly scratch: Scratch
  readonly limit: TokenBucket
  readonly clock: Clock
  readonly tracing: Tracing
  /** stats.ts */
  readonly stats: Float64Array
}

/** Rules for what the gateway itself sends. */
export interface OwnPacketRules {
  /** Whether the packet at `at`, which answers another one, may leave by `to`. */
  letOut(at: number, length: number, to: Attachment): boolean
}

export class Reports {
  readonly #slab: Slab
  readonly #scratch: Scratch
  readonly #limit: TokenBucket
  readonly #clock: Clock
  readonly #tracing: Tracing
  readonly #stats: Float64Array
  /** Null while there are none. */
  rules: OwnPacketRules | null = null

  constructor(parts: ReportsParts) {
    this.#slab = parts.slab
    this.#scratch = parts.scratch
    this.#limit = parts.limit
    this.#clock = parts.clock
    this.#tracing = parts.tracing
    this.#stats = parts.stats
  }

  /** Queues an error about `packet`, which came from `from`. @param word the second word of the error: an MTU, or 0 */
  send(packet: Packet, from: Attachment, type: number, code: number, word = 0): void {
    if (!mayReportError(packet)) return
    const { isDry } = this.#tracing
    if (!isDry && !this.#limit.take(this.#clock.now)) {
      this.#stats[STAT_ERRORS_WITHHELD]!++
      return
    }
    const link = from.linkTo(packet.source)
    if (!isDry && !from.canReach(link, this.#clock.now)) return
    const room = Math.min(ERROR_MAX, from.mtu)
    const at = this.#scratch.take(room)
    if (at < 0) {
      this.#stats[STAT_DROPS + Drop['scratch-full']]!++
      return
    }
    this.#tracing.recorder?.answered(type, code)
    const source = from.ownAddress !== 0 ? from.ownAddress : packet.destination
    const length = writeError(this.#slab, at, room, packet, type, code, word, source)
    this.#push(at, length, from, link)
  }

  /** Answers a packet that a rule rejects, as the rule says. */
  reject(packet: Packet, from: Attachment, kind: RejectKind): void {
    if (kind === 'tcp-reset') this.reset(packet, from)
    else this.send(packet, from, icmp4.UNREACHABLE, REJECT_CODES[kind])
  }

  /** Queues the RST that answers a TCP segment, which came from `from` (RFC 9293 3.10.7.1). */
  reset(packet: Packet, from: Attachment): void {
    if (!mayReset(packet)) return
    const link = from.linkTo(packet.source)
    if (!this.#tracing.isDry && !from.canReach(link, this.#clock.now)) return
    const at = this.#scratch.take(RESET_LENGTH)
    if (at < 0) {
      this.#stats[STAT_DROPS + Drop['scratch-full']]!++
      return
    }
    this.#tracing.recorder?.reset()
    writeReset(this.#slab, at, packet)
    this.#push(at, RESET_LENGTH, from, link)
  }

  #push(at: number, length: number, to: Attachment, link: number): void {
    const isAllowed = this.rules === null || this.rules.letOut(at, length, to)
    if (!isAllowed) this.#tracing.recorder?.answerDropped()
    if (this.#tracing.isDry) return
    if (isAllowed) to.egress.push(at, length, link)
    else this.#stats[STAT_DROPS + Drop['rule']]!++
  }
}

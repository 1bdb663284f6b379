/**
 * What LOG and NFLOG rules say of packets, on its way from the data plane to who writes it down.
 *
 * Theory of operation. After an evaluation that met such rules, the hook gives its outcome here, and each of them becomes a
 * record of a ring (record-ring.ts): which rule, at which hook, when, and the packet as the rules saw it, with the addresses,
 * ports, TTL and type of service of that hook, whatever the slab still holds of before. The main thread reads, looks up what
 * the rule wants, and writes (control/rule-log.ts). Nothing is allocated, nothing waits; what does not fit is lost and counted.
 *
 *     0 bytes copied | 4 bytes of the packet | 8 id of the rule, float64 | 16 time, ms on the data plane's clock, float64
 *     24 mark | 28 number of the interface it came in by | 30 … goes out by | 32 hook | 33-39 unused | 40 the packet …
 *
 * Cost of a record: two atomic operations and the copy, word by word.
 */
import type { CompiledRuleset } from '../policy/engine/compiled-ruleset.js'
import type { Outcome } from '../policy/engine/outcome.js'
import type { PacketMeta } from '../policy/engine/packet-meta.js'
import type { Slab } from '../stack/batch.js'
import { hasPorts, LATER_FRAGMENT, type Packet } from '../stack/parse.js'
import { createRecordRing, FREE_WORD, RecordConsumer, RecordProducer } from '../stack/record-ring.js'
import * as checksum from '../stack/wire/checksum.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import * as udp from '../stack/wire/udp.js'

/** Data area of a gateway's ring: some 17 000 packets of LOG, 2 700 whole ones of 1500 bytes. */
export const LOG_RING_BYTES = 4 << 20
/** Smallest data area: room for three packets of the greatest length. */
export const LOG_RING_MIN = 1 << 18

/** Bytes of a packet that are always kept: an ICMP error with its quote, all headers as long as they can be, is 188. */
export const LOG_BYTES = 192

const LOST = FREE_WORD
const RECORD_HEADER = 40
/** Nothing changed: the sum of a number and its complement. */
const NO_DELTA = 0xffff

/** @param size bytes of the data area, a power of two, at least LOG_RING_MIN */
export const createLogRing = (size = LOG_RING_BYTES): SharedArrayBuffer => createRecordRing(size)

/** The writing end. One for a ring. */
export class RuleLog {
  readonly #ring: RecordProducer
  readonly #readClock: (clock: Float64Array) => void
  readonly #clock = new Float64Array(1)

  /** @param readClock writes the time of the data plane's clock, in milliseconds and their fractions, to the first place */
  constructor(ring: SharedArrayBuffer, readClock: (clock: Float64Array) => void) {
    this.#ring = new RecordProducer(ring)
    this.#readClock = readClock
  }

  /**
   * Writes what the rules logged of a packet. Call it when `outcome.logCount` is not 0, before the outcome is used again.
   * @param ruleset the one that was evaluated
   * @param hook index in HOOK_NAMES
   * @param packet where it is in the slab, still as it was parsed, or already rewritten
   * @param meta as the rules were given it
   */
  write(outcome: Outcome, ruleset: CompiledRuleset, hook: number, slab: Slab, packet: Packet, meta: PacketMeta): void {
    if (outcome.isDry) return
    if (outcome.lostLogs > 0) this.#lose(outcome.lostLogs)
    this.#readClock(this.#clock)
    for (let index = 0; index < outcome.logCount; index++) {
      const rule = outcome.logs[index]!
      const wanted = wantedBytes(ruleset, rule)
      const captured = wanted < packet.length ? wanted : packet.length
      const to = this.#ring.reserve(RECORD_HEADER + captured)
      if (to < 0) {
        this.#lose(1)
        continue
      }
      const { view, bytes } = this.#ring
      view.setUint32(to, captured, true)
      view.setUint32(to + 4, packet.length, true)
      view.setFloat64(to + 8, ruleset.ids[rule]!, true)
      view.setFloat64(to + 16, this.#clock[0]!, true)
      view.setUint32(to + 24, outcome.logMarks[index]!, true)
      view.setUint16(to + 28, meta.inInterface, true)
      view.setUint16(to + 30, meta.outInterface, true)
      view.setUint8(to + 32, hook)
      copy(slab, packet.at, view, bytes, to + RECORD_HEADER, captured)
      showAsSeen(view, to + RECORD_HEADER, packet, meta)
      this.#ring.publish()
    }
  }

  #lose(count: number): void {
    Atomics.add(this.#ring.control, LOST, count)
  }
}

/** How much of a packet the rule may have written down. NFLOG without a size means all; `--nflog-range` means nothing to the kernel, either. */
const wantedBytes = (ruleset: CompiledRuleset, rule: number): number => {
  const { target } = ruleset.rules[rule]!.spec
  if (target === null || target.kind !== 'NFLOG') return LOG_BYTES
  const { size } = target
  return size === null ? Infinity : size < LOG_BYTES ? LOG_BYTES : size
}

/** A typed array's own copying would need an object for each part of the slab. */
const copy = (slab: Slab, from: number, view: DataView, bytes: Uint8Array, to: number, length: number): void => {
  const whole = length & ~3
  for (let at = 0; at < whole; at += 4) view.setInt32(to + at, slab.view.getInt32(from + at))
  for (let at = whole; at < length; at++) bytes[to + at] = slab.bytes[from + at]!
}

/**
 * Gives the copy the addresses, ports, TTL and type of service that the rules saw, and corrects the checksums by what changed. The
 * CRC of SCTP stays as it is, as do the identifiers of ICMP queries, which rules do not see.
 */
const showAsSeen = (view: DataView, at: number, packet: Packet, meta: PacketMeta): void => {
  const l3 = checksum.add(
    checksum.delta32(ipv4.source(view, at), meta.source), checksum.delta32(ipv4.destination(view, at), meta.destination),
  )
  const before = checksum.add(view.getUint16(at), view.getUint16(at + 8))
  ipv4.setSource(view, at, meta.source)
  ipv4.setDestination(view, at, meta.destination)
  ipv4.setTtl(view, at, meta.ttl)
  ipv4.setTos(view, at, meta.tos)
  const other = checksum.delta16(before, checksum.add(view.getUint16(at), view.getUint16(at + 8)))
  if (l3 !== NO_DELTA || other !== NO_DELTA) ipv4.setChecksum(view, at, checksum.update(ipv4.checksum(view, at), checksum.add(l3, other)))

  const { protocol } = packet
  if (meta.fragment === LATER_FRAGMENT || !meta.hasPorts || !hasPorts(protocol)) return
  const transport = at + packet.headerLength
  const ports = (meta.sourcePort << 16) | meta.destinationPort
  const delta = checksum.delta32(view.getInt32(transport), ports)
  view.setInt32(transport, ports)
  if (l3 === NO_DELTA && (packet.partial || delta === NO_DELTA)) return
  const l4 = checksum.add(l3, delta)
  if (protocol === ipv4.PROTOCOL_TCP) {
    const stored = tcp.checksum(view, transport)
    tcp.setChecksum(view, transport, packet.partial ? checksum.updatePartial(stored, l3) : checksum.update(stored, l4))
  } else if (protocol !== ipv4.PROTOCOL_SCTP) {
    const stored = udp.checksum(view, transport)
    udp.setChecksum(view, transport, packet.partial ? checksum.updatePartial(stored, l3) : checksum.updateUdp(stored, l4))
  }
}

export interface LogRecord {
  /** Id of the rule, as in the rule set. */
  readonly rule: number
  /** Index in HOOK_NAMES. */
  readonly hook: number
  /** Numbers of interfaces; 0: none. */
  readonly input: number
  readonly output: number
  /** uint32 */
  readonly mark: number
  /** Milliseconds on the data plane's clock, with fractions. */
  readonly time: number
  readonly originalLength: number
  /** A copy, the reader's to keep. */
  readonly bytes: Uint8Array
}

/** The reading end. One for a ring. */
export class RuleLogReader {
  readonly #ring: RecordConsumer

  constructor(ring: SharedArrayBuffer) {
    this.#ring = new RecordConsumer(ring)
  }

  /** Records that did not fit since the ring was made, modulo 2^32. */
  get lost(): number {
    return Atomics.load(this.#ring.control, LOST) >>> 0
  }

  /** Takes the oldest record out; undefined when there is none. */
  read(): LogRecord | undefined {
    const ring = this.#ring
    const at = ring.next()
    if (at < 0) return undefined
    const { view } = ring
    const captured = view.getUint32(at, true)
    const record: LogRecord = {
      rule: view.getFloat64(at + 8, true),
      hook: view.getUint8(at + 32),
      input: view.getUint16(at + 28, true),
      output: view.getUint16(at + 30, true),
      mark: view.getUint32(at + 24, true),
      time: view.getFloat64(at + 16, true),
      originalLength: view.getUint32(at + 4, true),
      bytes: ring.bytes.slice(at + RECORD_HEADER, at + RECORD_HEADER + captured),
    }
    ring.release(RECORD_HEADER + captured)
    return record
  }
}

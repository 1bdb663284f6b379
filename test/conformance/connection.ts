/** Both ends of one TCP connection through a gateway, with the sequence numbers that real ends would use. */
import { ACK, FIN, RST, SYN } from '../../src/stack/wire/tcp.js'
import type { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildTcp, type TcpOptions } from '../../src/testing/packets.js'
import { end, type End } from '../behaviours.js'
import { A, destinationOf, E, P, sourceOf, u16 } from '../stack/support.js'

interface Side {
  /** Sequence number of what it sends next. */
  next: number
}

type Extra = Partial<Omit<TcpOptions, 'source' | 'destination' | 'sourcePort' | 'destinationPort' | 'flags'>>

export class Connection {
  readonly gateway: MemoryGateway
  readonly inside: End
  readonly remote: End
  /** The outside endpoint, known once something has left. */
  outside: End
  readonly client: Side
  readonly server: Side

  constructor(gateway: MemoryGateway, { inside = end(A, 5000), remote = end(P, 80), outside = end(E, 5000), start = 1000 } = {}) {
    this.gateway = gateway
    this.inside = inside
    this.remote = remote
    this.outside = outside
    this.client = { next: start }
    this.server = { next: start + 0x1000_0000 }
  }

  /** The inside host sends a segment. What arrives outside, or null. */
  out(flags: number, extra: Extra = {}): Uint8Array | null {
    const ends = { source: this.inside.address, sourcePort: this.inside.port, destination: this.remote.address, destinationPort: this.remote.port }
    const [sent] = this.gateway.fromLan(buildTcp({ ...ends, ...this.#segment(this.client, this.server, flags, extra) })).toWan()
    if (sent !== undefined && sent.bytes[9] === 6) this.outside = end(sourceOf(sent.bytes), u16(sent.bytes, 20))
    return sent?.bytes ?? null
  }

  /** The outside host sends a segment. What arrives inside, or null. */
  in(flags: number, extra: Extra = {}): Uint8Array | null {
    const ends = { source: this.remote.address, sourcePort: this.remote.port, destination: this.outside.address, destinationPort: this.outside.port }
    const [sent] = this.gateway.fromWan(buildTcp({ ...ends, ...this.#segment(this.server, this.client, flags, extra) })).toLan()
    if (sent !== undefined && destinationOf(sent.bytes) !== this.inside.address) throw new Error(`went to ${destinationOf(sent.bytes)}`)
    return sent?.bytes ?? null
  }

  /** The three-way handshake. */
  open(): this {
    return this.all([this.out(SYN), this.in(SYN | ACK), this.out(ACK)])
  }

  /** FIN and its acknowledgment both ways, the inside first. */
  close(): this {
    return this.all([this.out(FIN | ACK), this.in(ACK), this.in(FIN | ACK), this.out(ACK)])
  }

  /** Bytes pass both ways. */
  get works(): boolean {
    const payload = new Uint8Array(10)
    return this.out(ACK, { payload }) !== null && this.in(ACK, { payload }) !== null
  }

  all(passed: readonly (Uint8Array | null)[]): this {
    if (passed.includes(null)) throw new Error(`segment ${passed.indexOf(null) + 1} did not pass: ${JSON.stringify(this.gateway.drops)}`)
    return this
  }

  #segment(from: Side, to: Side, flags: number, extra: Extra): Extra & { flags: number } {
    const sequence = extra.sequence ?? from.next
    const acknowledgment = (flags & ACK) === 0 ? 0 : to.next
    const length = (extra.payload?.length ?? 0) + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)
    // What was said with a number of its own (repeated, forged) does not move the connection on.
    if (extra.sequence === undefined && (flags & RST) === 0) from.next = (from.next + length) | 0
    return { acknowledgment, ...extra, sequence, flags }
  }
}

/** Hosts that exchange datagrams or pings, and the mishaps that go with it. */
import { buildIcmp, buildUdp } from '../../../src/testing/packets.js'
import type { PacketOptions } from '../../../src/testing/packets.js'
import * as icmp4 from '../../../src/stack/wire/icmp4.js'
import type { Side } from './addresses.js'
import { type Builder, Dice, endsOf, type Ends, errorAbout, type Flow, fragmentSizes, inFragments, ipFields, payloadSize, type Shot } from './talk.js'

const WHO: Record<Side, string> = { lan: 'client', wan: 'server' }

export type Fields = Omit<PacketOptions, 'source' | 'destination'>

/** What UDP and ICMP queries have in common. */
export abstract class DatagramTalk {
  protected readonly dice: Dice
  protected readonly flow: Flow
  protected readonly index: number
  #hasBegun = false
  #last: Partial<Record<Side, Builder>> = {}

  constructor(dice: Dice, flow: Flow, index: number) {
    this.dice = dice
    this.flow = flow
    this.index = index
  }

  protected abstract datagram(side: Side, fields: Fields, size: number): { note: string; builder: Builder }
  protected abstract strange(): Shot

  next(): Shot {
    if (!this.#hasBegun && this.dice.chance(85)) return this.#plain('lan')
    return this.dice.weighted<() => Shot>([
      [40, () => this.#plain(this.side())],
      [6, () => this.#changed({ corrupt: 'transport' }, ', transport checksum wrong')],
      [2, () => this.#changed({ corrupt: 'header' }, ', header checksum wrong')],
      [5, () => this.#changed({ ttl: 1 }, ', TTL 1')],
      [12, () => this.#error()],
      [10, () => this.#fragmented()],
      [8, () => this.#stray()],
      [6, () => this.strange()],
    ])()
  }

  protected side(): Side {
    return this.dice.pick(['lan', 'wan'] as const)
  }

  protected shot(side: Side, note: string, build: (ends: Ends) => Uint8Array[]): Shot {
    return { note: `${WHO[side]}: ${note}`, side, flow: this.index, build: (port) => build(endsOf(this.flow, side, port)) }
  }

  #plain(side: Side): Shot {
    const { note, builder } = this.datagram(side, ipFields(this.dice), payloadSize(this.dice, side))
    return this.passing(side, note, builder)
  }

  /** A packet that later errors may be about. */
  protected passing(side: Side, note: string, builder: Builder): Shot {
    this.#hasBegun = true
    this.#last[side] = builder
    return this.shot(side, note, (ends) => [builder(ends)])
  }

  #changed(change: Fields, why: string): Shot {
    const side = this.#hasBegun ? this.side() : 'lan'
    const { note, builder } = this.datagram(side, { ...ipFields(this.dice), ...change }, this.dice.between(1, 50))
    return this.shot(side, note + why, (ends) => [builder(ends)])
  }

  #error(): Shot {
    const about = this.#last.wan !== undefined && this.dice.chance(50) ? 'wan' : 'lan'
    const builder = this.#last[about]
    return builder === undefined ? this.#plain('lan') : errorAbout(this.dice, this.flow, this.index, about, builder)
  }

  #fragmented(): Shot {
    const side = this.side()
    const { payload, mtu } = fragmentSizes(this.dice, side)
    const { note, builder } = this.datagram(side, ipFields(this.dice, true), payload)
    const pieces = inFragments(this.dice, builder, mtu)
    return this.shot(side, `${note} ${pieces.note}`, pieces.split)
  }

  /** From outside, to where nobody waits for it. */
  #stray(): Shot {
    const isStranger = this.dice.chance(60)
    const { note, builder } = this.datagram('wan', ipFields(this.dice), 20)
    const build = (port: number): Uint8Array[] => {
      const ends = endsOf(this.flow, 'wan', port)
      return [builder(isStranger ? { ...ends, source: this.flow.stranger } : { ...ends, destinationPort: port ^ 0x0202 })]
    }
    return { note: `${isStranger ? 'a stranger' : 'server, to another port'}: ${note}`, side: 'wan', flow: this.index, build }
  }
}

export class UdpTalk extends DatagramTalk {
  protected override datagram(_side: Side, fields: Fields, size: number): { note: string; builder: Builder } {
    const payload = this.dice.bytes(size)
    const hasChecksum = fields.corrupt !== undefined || this.dice.chance(88)
    const note = `UDP of ${size} bytes${hasChecksum ? '' : ' without checksum'}`
    return { note, builder: (ends) => buildUdp({ ...fields, ...ends, payload, checksum: hasChecksum }) }
  }

  protected override strange(): Shot {
    const side = this.side()
    const fields = ipFields(this.dice)
    const payload = this.dice.bytes(30)
    if (this.dice.chance(40)) return this.shot(side, 'UDP from port 0', (ends) => [buildUdp({ ...fields, ...ends, sourcePort: 0, payload })])
    const claimed = this.dice.pick([4, 20, 500])
    return this.shot(side, `UDP whose length field says ${claimed}`, (ends) => {
      const packet = buildUdp({ ...fields, ...ends, payload, checksum: false })
      new DataView(packet.buffer).setUint16(24, claimed)
      return [packet]
    })
  }
}

/** Pings and timestamps. The identifier is the inside port. */
export class QueryTalk extends DatagramTalk {
  readonly #request: number
  #sequence = 0

  constructor(dice: Dice, flow: Flow, index: number) {
    super(dice, flow, index)
    this.#request = dice.chance(85) ? icmp4.ECHO_REQUEST : icmp4.TIMESTAMP
  }

  protected override datagram(side: Side, fields: Fields, size: number): { note: string; builder: Builder } {
    const isRequest = side === 'lan'
    const reply = this.#request === icmp4.ECHO_REQUEST ? icmp4.ECHO_REPLY : icmp4.TIMESTAMP_REPLY
    if (isRequest) this.#sequence++
    return this.#query(isRequest ? this.#request : reply, fields, size)
  }

  #query(type: number, fields: Fields, size: number): { note: string; builder: Builder } {
    const payload = this.dice.bytes(this.#request === icmp4.TIMESTAMP ? 12 : size)
    const sequence = this.#sequence
    const builder: Builder = ({ source, destination, sourcePort, destinationPort }) =>
      buildIcmp({ ...fields, source, destination, type, rest: ((sourcePort || destinationPort) << 16) | sequence, payload })
    return { note: `ICMP ${type} number ${sequence} with ${payload.length} bytes`, builder }
  }

  protected override strange(): Shot {
    const fields = ipFields(this.dice)
    const kind = this.dice.pick(['reply from inside', 'request from outside', 'unknown type'] as const)
    const type = { 'reply from inside': icmp4.ECHO_REPLY, 'request from outside': icmp4.ECHO_REQUEST, 'unknown type': this.dice.pick([9, 10, 15, 17, 30, 40]) }[kind]
    const side: Side = kind === 'reply from inside' ? 'lan' : kind === 'request from outside' ? 'wan' : this.side()
    const { note, builder } = this.#query(type, fields, 24)
    return this.shot(side, `${note}, ${kind}`, (ends) => [builder(ends)])
  }
}

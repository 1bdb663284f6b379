/**
 * Fuzzes the stack's TCP: two stacks use connections at random over a bad line, and meanwhile get segments that were changed on the way,
 * with numbers at the edges of what they expect. Whatever comes, nothing throws, nothing is kept that is not needed, and in the end
 * every connection is over. TSNAT_FUZZ_SECONDS says for how long, TSNAT_FUZZ_SEED with which numbers; a failure names the seed of its run.
 */
import { describe, expect, it } from 'vitest'
import type { Connection } from '../../src/stack/sockets/tcp/connection.js'
import type { TcpEndpoint, TcpEvents } from '../../src/stack/sockets/tcp/endpoint.js'
import * as state from '../../src/stack/sockets/tcp/state.js'
import * as checksum from '../../src/stack/wire/checksum.js'
import * as ipv4 from '../../src/stack/wire/ipv4.js'
import * as tcp from '../../src/stack/wire/tcp.js'
import * as vnet from '../../src/stack/wire/vnet.js'
import { checkPacket, type Unfinished } from '../../src/testing/check-packet.js'
import { StackLink } from '../../src/testing/stack-link.js'
import { ip } from '../stack/support.js'
import { type Random, randomFrom } from './generate.js'

const SECONDS = Number(process.env.TSNAT_FUZZ_SECONDS ?? 4)
const SEED = Number(process.env.TSNAT_FUZZ_SEED ?? 1)
const STEPS = 400
/** Runs after which each state must have been met. */
const SEEDS_MAX = 400
const LISTENERS = 2
/** Bytes that one end may hold of what it has not handed to its user: the window never grows beyond. */
const RECEIVE_MAX = 6 << 20

const DELTAS = [0, 1, -1, 2, 100, -100, 1460, -1460, 65535, -65535, 1 << 20, 1 << 30, -(1 << 30), 0x7fffffff, -0x80000000]
const FLAGS = [0, tcp.SYN, tcp.ACK, tcp.FIN, tcp.RST, tcp.SYN | tcp.ACK, tcp.FIN | tcp.ACK, tcp.RST | tcp.ACK, tcp.URG | tcp.ACK, tcp.PSH | tcp.ACK, tcp.SYN | tcp.FIN, tcp.SYN | tcp.RST, 0xff]

/** What one end was told. */
interface Told {
  closes: number
  errors: number
  late: string[]
}

class Run {
  readonly link: StackLink
  readonly seen: Uint8Array[] = []
  readonly endpoints: { endpoint: TcpEndpoint; told: Told }[] = []
  /** States in which a connection was when a changed segment came for its stack. */
  readonly states = new Set<number>()
  readonly #random: Random
  #isEnding = false

  constructor(seed: number) {
    const random = (this.#random = randomFrom(seed))
    const pick = <T>(list: readonly T[]): T => list[random(list.length)]!
    this.link = new StackLink({
      seed, delay: pick([0, 0, 5, 50]), loss: pick([0, 0, 0.05, 0.2]), reorder: pick([0, 0.1]), duplicate: pick([0, 0.1]),
      mtu: pick([1500, 1500, 576, 68, 9000]), capacity: 256, offloads: { checksum: true, tcp: random(2) === 0, udp: false },
      tcp: { congestion: pick(['cubic', 'new-reno'] as const), backlog: pick([2, 511]) },
    })
    const notice = (bytes: Uint8Array): boolean => {
      if (this.seen.length < 64) this.seen.push(bytes)
      else this.seen[random(64)] = bytes
      return false
    }
    this.link.dropToLeft(notice)
    this.link.dropToRight(notice)
    for (const { stack } of [this.link.left, this.link.right]) stack.tcp.listen({ port: 80 }).onConnection = (endpoint) => this.#add(endpoint)
  }

  /** Something happens. */
  step(): void {
    const { link } = this
    switch (this.#random(10)) {
      case 0:
        this.#connect()
        return
      case 1:
      case 2:
        link.run(this.#pick([1, 10, 200, 1000, 10_000]))
        return
      case 3:
      case 4:
      case 5:
        this.#use()
        return
      default:
        for (let count = this.#random(5); count >= 0; count--) this.#forge()
        while (link.pump() > 0);
    }
  }

  /** All users hang up, and every timer has its time. @returns what is wrong then */
  finish(): string {
    this.#isEnding = true
    for (const { endpoint, told } of this.endpoints) if (told.closes === 0) endpoint.close()
    this.link.run(4_000_000)
    const { left, right } = this.link
    for (const [name, { stack }] of Object.entries({ left, right })) {
      if (stack.table.count !== LISTENERS / 2) return `${name}: ${stack.table.count} rows outlived all timers`
    }
    for (const { told } of this.endpoints) {
      if (told.late.length > 0) return `after its close an end was told ${told.late.join()}`
      if (told.closes > 1) return `an end was told of ${told.closes} closes`
      if (told.errors > 1) return `an end was told of ${told.errors} errors`
    }
    return ''
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random(list.length)]!
  }

  #connect(): void {
    const isLeft = this.#random(2) === 0
    const { stack } = isLeft ? this.link.left : this.link.right
    const other = ip(isLeft ? '10.0.0.2' : '10.0.0.1')
    // Now and then both call each other, from the same ports.
    const localPort = this.#random(4) === 0 ? { localPort: 4000, port: 4000 } : { port: this.#pick([80, 80, 80, 81]) }
    try {
      this.#add(stack.tcp.connect({ address: this.#random(16) === 0 ? ip('10.0.0.9') : other, ...localPort }))
    } catch (error) {
      if (!['EADDRINUSE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM', 'ENFILE', 'EMFILE'].includes(String((error as NodeJS.ErrnoException).code))) throw error
    }
  }

  #use(): void {
    if (this.endpoints.length === 0) return
    const { endpoint, told } = this.#pick(this.endpoints)
    if (told.closes > 0) return
    switch (this.#random(12)) {
      case 0:
        endpoint.shutdown()
        return
      case 1:
        endpoint.close()
        return
      case 2:
        if (this.#random(4) === 0) endpoint.abort()
        return
      case 3:
        endpoint.setKeepAlive(this.#random(2) === 0, this.#pick([1000, 60_000]))
        return
      case 4:
        endpoint.setNoDelay(this.#random(2) === 0)
        return
      case 5:
      case 6:
        for (let bytes = endpoint.read(); bytes !== null && bytes !== 'end'; bytes = endpoint.read());
        return
      default:
        if (endpoint.writeLength < 1 << 20) endpoint.write(new Uint8Array(this.#pick([1, 10, 1000, 5000, 200_000])))
    }
  }

  #add(endpoint: TcpEndpoint): void {
    const told: Told = { closes: 0, errors: 0, late: [] }
    const note = (what: string): void => {
      if (told.closes > 0) told.late.push(what)
    }
    const events: TcpEvents = {
      onConnect: () => note('connect'),
      onReadable: () => note('readable'),
      onDrain: () => note('drain'),
      onFinish: () => note('finish'),
      onError: () => {
        note('error')
        told.errors++
      },
      onClose: () => told.closes++,
    }
    endpoint.events = events
    this.endpoints.push({ endpoint, told })
    if (this.#isEnding) endpoint.close()
  }

  /** A segment that was seen before arrives again, changed. */
  #forge(): void {
    if (this.seen.length === 0) return
    const original = this.#pick(this.seen)
    const packet = this.#change(original.slice())
    const isForLeft = ipv4.destination(new DataView(original.buffer, original.byteOffset), 0) === ip('10.0.0.1')
    for (const { endpoint } of this.endpoints) this.states.add((endpoint as Connection).state)
    if (isForLeft) this.link.injectLeft(packet)
    else this.link.injectRight(packet)
  }

  #change(bytes: Uint8Array): Uint8Array {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const transport = ipv4.headerLength(view, 0)
    for (let count = this.#random(4); count >= 0; count--) {
      switch (this.#random(9)) {
        case 0:
        case 1:
          tcp.setSequence(view, transport, (tcp.sequence(view, transport) + this.#pick(DELTAS)) | 0)
          break
        case 2:
        case 3:
          tcp.setAcknowledgment(view, transport, (tcp.acknowledgment(view, transport) + this.#pick(DELTAS)) | 0)
          break
        case 4:
        case 5:
          tcp.setFlags(view, transport, this.#pick(FLAGS))
          break
        case 6:
          tcp.setWindow(view, transport, this.#pick([0, 1, 65535, 100]))
          break
        case 7:
          for (let at = transport + 20; at < Math.min(bytes.length, transport + 60); at++) if (this.#random(3) === 0) bytes[at] = this.#random(256)
          break
        default:
          view.setUint8(transport + 12, this.#random(256))
      }
    }
    const length = this.#random(8) === 0 ? Math.max(transport + 20, this.#random(bytes.length)) : bytes.length
    const cut = bytes.subarray(0, length)
    ipv4.setTotalLength(view, 0, length)
    ipv4.writeChecksum(view, 0)
    tcp.setChecksum(view, transport, 0)
    const initial = checksum.pseudoHeader(ipv4.source(view, 0), ipv4.destination(view, 0), ipv4.PROTOCOL_TCP, length - transport)
    tcp.setChecksum(view, transport, checksum.finish(checksum.sum(cut, transport, length - transport, initial)))
    return cut
  }

  /** @returns what is wrong now */
  check(): string {
    for (const { endpoint } of this.endpoints) {
      const { receiveQueue, state: now } = endpoint as Connection
      if (receiveQueue !== null && receiveQueue.readable + receiveQueue.held > RECEIVE_MAX) return `an end in state ${now} holds ${receiveQueue.readable + receiveQueue.held} bytes`
    }
    return ''
  }
}

const unfinished = (header: Uint8Array): Unfinished => {
  const view = new DataView(header.buffer, header.byteOffset)
  return {
    flags: vnet.flags(view, 0), gsoType: vnet.gsoType(view, 0), gsoSize: vnet.gsoSize(view, 0),
    checksumStart: vnet.checksumStart(view, 0), checksumOffset: vnet.checksumOffset(view, 0),
  }
}

const play = (seed: number, states: Set<number>): string => {
  const run = new Run(seed)
  try {
    for (let step = 0; step < STEPS; step++) {
      run.step()
      const wrong = run.check()
      if (wrong !== '') return `step ${step}: ${wrong}`
    }
    return run.finish()
  } catch (error) {
    return `thrown: ${(error as Error).stack}`
  } finally {
    for (const one of run.states) states.add(one)
  }
}

describe('TCP under forged segments', () => {
  it('never throws, never leaks a connection, holds no more than its buffers', () => {
    const end = performance.now() + SECONDS * 1000
    const states = new Set<number>()
    let seed = SEED
    const all = [state.SYN_SENT, state.ESTABLISHED, state.FIN_WAIT_1, state.FIN_WAIT_2, state.CLOSE_WAIT, state.CLOSING, state.LAST_ACK]
    const missing = (): number[] => all.filter((one) => !states.has(one))
    do {
      const wrong = play(seed, states)
      expect(wrong, `TSNAT_FUZZ_SEED=${seed}`).toBe('')
      seed++
    } while (performance.now() < end || (missing().length > 0 && seed - SEED < SEEDS_MAX))
    expect(missing()).toEqual([])
  }, SECONDS * 1000 + 60_000)

  it('sends nothing but right packets meanwhile', () => {
    for (let seed = SEED; seed < SEED + 3; seed++) {
      const run = new Run(seed)
      const faults: string[] = []
      const look = (bytes: Uint8Array, header: Uint8Array): boolean => {
        faults.push(...checkPacket(bytes, unfinished(header)))
        run.seen[faults.length % 64] = bytes
        return false
      }
      run.link.dropToLeft(look)
      run.link.dropToRight(look)
      for (let step = 0; step < STEPS; step++) run.step()
      expect(faults, `seed ${seed}`).toEqual([])
    }
  })
})

/** A stack over a memory network, with a clock that stands still until it is moved, and the puppets that it talks to. */
import { Stack } from '../../../../src/stack/sockets/stack.js'
import type { TcpSettings } from '../../../../src/stack/sockets/tcp/settings.js'
import type { TcpConnectOptions, TcpListener, TcpListenOptions } from '../../../../src/stack/sockets/tcp/tcp.js'
import * as ipv4 from '../../../../src/stack/wire/ipv4.js'
import * as tcp from '../../../../src/stack/wire/tcp.js'
import { describePacket } from '../../../../src/testing/describe-packet.js'
import { seededRandom } from '../../../../src/testing/memory-gateway.js'
import { ip } from '../../support.js'
import { type Handed, MemoryNetwork, type MemoryNetworkOptions } from '../memory-network.js'
import { Puppet, type PuppetOptions } from './puppet.js'
import { User } from './user.js'

export interface BedOptions extends MemoryNetworkOptions {
  /** Where the clock begins, milliseconds. Default 1 000 000. */
  readonly now?: number
  readonly seed?: number
  /** 16 bytes. */
  readonly secret?: Uint8Array
  /** Sockets at most. */
  readonly capacity?: number
  readonly tcp?: Partial<TcpSettings>
}

export interface Listening {
  readonly listener: TcpListener
  /** Users of the connections that it accepted, oldest first. */
  readonly accepted: User[]
}

export class Bed {
  readonly network: MemoryNetwork
  readonly stack: Stack
  /** What was sent to nobody, described. */
  readonly strays: string[] = []
  #now: number
  readonly #puppets: Puppet[] = []

  constructor({ now = 1_000_000, seed = 1, secret = new Uint8Array(16).fill(7), capacity = 1024, tcp: settings = {}, ...options }: BedOptions = {}) {
    this.network = new MemoryNetwork(options)
    this.#now = now
    this.stack = new Stack({ network: this.network, now, random: seededRandom(seed), secret, capacity, tcp: settings, answersPings: true })
    this.network.onSend = (handed) => this.#sent(handed)
  }

  get now(): number {
    return this.#now
  }

  /** How many the stack has, listeners too. */
  get sockets(): number {
    return this.stack.table.count
  }

  puppet(options: PuppetOptions = {}): Puppet {
    const puppet = new Puppet(this, { ...options, port: options.port ?? 5000 + this.#puppets.length })
    this.#puppets.push(puppet)
    return puppet
  }

  /** @param isReading whether users read what comes by themselves */
  listen(port: number, options: Partial<TcpListenOptions> & { isReading?: boolean } = {}): Listening {
    const { isReading = true, ...rest } = options
    const listener = this.stack.tcp.listen({ port, ...rest })
    const accepted: User[] = []
    listener.onConnection = (endpoint) => {
      accepted.push(new User(endpoint, isReading))
    }
    return { listener, accepted }
  }

  connect(peer: Puppet, options: Partial<TcpConnectOptions> & { isReading?: boolean } = {}): User {
    return this.connectTo(peer.address, peer.port, options)
  }

  connectTo(address: string, port: number, options: Partial<TcpConnectOptions> & { isReading?: boolean } = {}): User {
    const { isReading = true, ...rest } = options
    const user = new User(this.stack.tcp.connect({ address: ip(address), port, ...rest }), isReading)
    this.network.tell()
    return user
  }

  /** A connection that a puppet opened to a listener of the stack. */
  opened(options: PuppetOptions & { isReading?: boolean } = {}): { peer: Puppet; user: User; listening: Listening } {
    const { isReading = true, ...rest } = options
    const listening = this.listen(rest.stackPort ?? 80, { isReading })
    const peer = this.puppet({ stackPort: 80, ...rest })
    peer.open()
    return { peer, user: listening.accepted[0]!, listening }
  }

  /** A connection that the stack opened to a puppet. */
  connected(options: PuppetOptions & { isReading?: boolean } = {}): { peer: Puppet; user: User } {
    const { isReading = true, ...rest } = options
    const peer = this.puppet(rest)
    const user = this.connect(peer, { isReading })
    peer.accept()
    return { peer, user }
  }

  /** Moves the clock; what is due happens at its time. */
  advance(milliseconds: number): this {
    const target = this.#now + milliseconds
    this.network.tell()
    for (let turns = 0; this.stack.next <= target; turns++) {
      if (turns > 1_000_000) throw new Error(`timers fire without end at ${this.#now}`)
      this.#now = Math.max(this.#now, this.stack.next)
      this.stack.advance(this.#now)
      this.network.tell()
    }
    this.#now = target
    this.stack.advance(target)
    return this
  }

  #sent(handed: Handed): void {
    let isFirst = true
    for (const bytes of handed.wire) {
      const puppet = this.#puppets.find((one) => isFor(one, bytes))
      if (puppet === undefined) {
        this.strays.push(describePacket(bytes))
        continue
      }
      if (isFirst) puppet.handed.push(handed.bytes.length - handed.wire[0]!.length + lengthOf(bytes))
      isFirst = false
      puppet.arrived(bytes)
    }
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Bytes of payload of a segment. */
const lengthOf = (bytes: Uint8Array): number => bytes.length - ipv4.HEADER_MIN - tcp.headerLength(viewOf(bytes), ipv4.HEADER_MIN)

const isFor = (puppet: Puppet, bytes: Uint8Array): boolean => {
  const view = viewOf(bytes)
  if (ipv4.protocol(view, 0) !== ipv4.PROTOCOL_TCP) return false
  const at = ipv4.headerLength(view, 0)
  return (
    ipv4.destination(view, 0) === ip(puppet.address) && ipv4.source(view, 0) === ip(puppet.stackAddress) && tcp.destinationPort(view, at) === puppet.port &&
    (puppet.stackPort < 0 || puppet.stackPort === tcp.sourcePort(view, at))
  )
}

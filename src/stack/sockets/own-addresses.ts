/** The addresses of a host: which are its own, which are broadcasts of its networks, and from which it sends. */
import { ExitCode, TsnatError } from '../../errors.js'
import { maskOf, parsePrefix, type Prefix } from '../wire/address.js'

export const LOOPBACK = 0x7f000001
const LIMITED_BROADCAST = -1
/** Networks with longer prefixes have no broadcast address (RFC 3021). */
const LONGEST_WITH_BROADCAST = 30

export const isLoopback = (address: number): boolean => address >>> 24 === 127

const prefixOf = (text: string): Prefix => {
  const prefix = parsePrefix(text.includes('/') ? text : `${text}/32`)
  if (prefix !== null && prefix.address !== 0 && !isLoopback(prefix.address) && prefix.address >>> 29 !== 7) return prefix
  throw new TsnatError(`"${text}" is no address of a host`, {
    code: 'NETWORK_ADDRESS', hint: 'give an IPv4 address with the length of its network\'s prefix, such as "10.0.0.2/24"', exitCode: ExitCode.usage,
  })
}

export class OwnAddresses {
  readonly #prefixes: readonly Prefix[]
  readonly #own: ReadonlySet<number>
  readonly #broadcasts: ReadonlySet<number>

  /**
   * @param addresses with the lengths of their networks' prefixes (`10.0.0.2/24`), at least one; without a length it is 32
   * @throws TsnatError NETWORK_ADDRESS
   */
  constructor(addresses: readonly string[]) {
    if (addresses.length === 0) {
      throw new TsnatError('a network without an address', { code: 'NETWORK_ADDRESS', hint: 'give at least one', exitCode: ExitCode.usage })
    }
    this.#prefixes = addresses.map(prefixOf)
    this.#own = new Set(this.#prefixes.map(({ address }) => address))
    const withBroadcast = this.#prefixes.filter(({ length }) => length <= LONGEST_WITH_BROADCAST)
    this.#broadcasts = new Set([LIMITED_BROADCAST, ...withBroadcast.map(({ address, length }) => address | ~maskOf(length))])
  }

  /** One of the addresses given. */
  has(address: number): boolean {
    return this.#own.has(address)
  }

  /** Packets to it do not leave the host. */
  isHere(address: number): boolean {
    return isLoopback(address) || this.#own.has(address)
  }

  isBroadcast(address: number): boolean {
    return this.#broadcasts.has(address)
  }

  /** The source for packets to `destination`: an own address of the same network, else the first. */
  sourceFor(destination: number): number {
    if (isLoopback(destination)) return LOOPBACK
    if (this.#own.has(destination)) return destination
    for (const { address, mask } of this.#prefixes) if (((address ^ destination) & mask) === 0) return address
    return this.#prefixes[0]!.address
  }
}

/** The LAN's subnet: which end is whose, and whether the host has something there already. */
import { ExitCode, TsnatError } from '../errors.js'
import { formatIpv4, formatPrefix, maskOf } from '../stack/wire/address.js'
import type { NetworkNamespace } from './namespace.js'
import { Rtnetlink } from './rtnetlink.js'
import { TABLE_MAIN } from './rtnetlink-types.js'

export interface Subnet {
  /** Any address in it, int32. */
  address: number
  prefixLength: number
}

/** Destinations this short are ways to everywhere (VPN clients split the default route in two), not a network of the host. */
const DEFAULT_LIKE = 1

/**
 * tsnat's own address on the LAN: the first one of the subnet; of a /31 (RFC 3021), the one that is not the kernel's.
 * @param address the kernel's end
 * @throws TsnatError BAD_LAN_ADDRESS when there is no room for two hosts, or the kernel's end is no host or tsnat's own address
 */
export const gatewayAddressOf = (address: number, prefixLength: number): number => {
  const refuse = (why: string): TsnatError =>
    new TsnatError(`LAN address ${formatPrefix(address, prefixLength)} ${why}`, {
      code: 'BAD_LAN_ADDRESS',
      hint: 'give the kernel\'s end of the TUN, for example 10.77.0.2/24; tsnat takes the first address of that subnet, 10.77.0.1',
      exitCode: ExitCode.usage,
    })
  if (prefixLength === 31) return address ^ 1
  if (prefixLength > 31 || prefixLength < 1) throw refuse('leaves no room for two hosts')
  const mask = maskOf(prefixLength)
  const gateway = (address & mask) | 1
  if (address === gateway) throw refuse('is tsnat\'s own: the first address of the subnet')
  if (address === (address & mask)) throw refuse('is the subnet itself, not a host')
  if (address === (address | ~mask)) throw refuse('is the broadcast address of its subnet')
  return gateway
}

const overlap = (a: Subnet, b: Subnet): boolean => {
  const mask = maskOf(Math.min(a.prefixLength, b.prefixLength))
  return (a.address & mask) === (b.address & mask)
}

interface Occupied extends Subnet {
  /** For messages. */
  what: string
}

/** Networks that a namespace has addresses or routes in. */
const occupied = async (namespace: NetworkNamespace): Promise<Occupied[]> => {
  const rtnetlink = new Rtnetlink(namespace)
  try {
    const names = new Map((await rtnetlink.links()).map(({ index, name }) => [index, name]))
    const addresses = (await rtnetlink.addresses()).map(({ address, peer, prefixLength, ifindex }) => ({
      address: peer,
      prefixLength,
      what: `${formatPrefix(address, prefixLength)} of ${names.get(ifindex) ?? 'an interface'}`,
    }))
    const routes = (await rtnetlink.routes())
      .filter(({ table, type, prefixLength }) => table === TABLE_MAIN && type === 'unicast' && prefixLength > DEFAULT_LIKE)
      .map(({ destination, prefixLength, ifindex }) => ({
        address: destination,
        prefixLength,
        what: `the route to ${formatPrefix(destination, prefixLength)}${names.has(ifindex) ? ` by ${names.get(ifindex)}` : ''}`,
      }))
    return [...addresses, ...routes]
  } finally {
    rtnetlink.close()
  }
}

/** 10.77.0.2/24 and its like in 10.78.0.0/24 and so on; null when all clash. */
const freeExample = (taken: readonly Occupied[]): string | null => {
  for (let octet = 77; octet < 256; octet++) {
    const address = (10 << 24) | (octet << 16) | 2
    if (!taken.some((other) => overlap(other, { address, prefixLength: 24 }))) return `${formatIpv4(address)}/24`
  }
  return null
}

/**
 * Refuses a LAN subnet that overlaps what the host has, in the namespace of the TUN or in that of the WAN.
 * @throws TsnatError ADDRESS_CLASH
 */
export const requireFreeSubnet = async (subnet: Subnet, namespaces: readonly NetworkNamespace[]): Promise<void> => {
  const taken: Occupied[] = []
  for (const namespace of namespaces) taken.push(...await occupied(namespace))
  const clash = taken.find((other) => overlap(other, subnet))
  if (clash === undefined) return
  const example = freeExample(taken)
  const network = formatPrefix(subnet.address & maskOf(subnet.prefixLength), subnet.prefixLength)
  throw new TsnatError(`the LAN subnet ${network} overlaps ${clash.what}`, {
    code: 'ADDRESS_CLASH',
    hint: `choose another with --lan-address${example === null ? '' : `, for example ${example}`}`,
    exitCode: ExitCode.config,
  })
}

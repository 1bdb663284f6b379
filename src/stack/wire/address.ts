/** Addresses as text. Inside tsnat an IPv4 address is an int32 and a MAC address a pair (uint16, int32). */

const OCTET = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const IPV4 = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`)
const PREFIX = /^([\d.]+)\/(\d|[12]\d|3[0-2])$/
const MAC = /^[\da-f]{2}(:[\da-f]{2}){5}$/i

/** Four decimal numbers 0-255 with dots, without leading zeros (some programs read those as octal); null otherwise. */
export const parseIpv4 = (text: string): number | null => {
  const match = IPV4.exec(text)
  if (match === null) return null
  return (Number(match[1]) << 24) | (Number(match[2]) << 16) | (Number(match[3]) << 8) | Number(match[4])
}

/** @param address int32 or uint32 */
export const formatIpv4 = (address: number): string =>
  `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`

/** The netmask of a prefix length, 0-32, as int32. */
export const maskOf = (length: number): number => (length === 0 ? 0 : -1 << (32 - length))

export interface Prefix {
  /** As written: bits beyond the prefix are kept (`10.77.0.2/24` is an address in its subnet). */
  address: number
  /** 0-32. */
  length: number
  mask: number
}

/** `10.0.0.0/8`; null for anything else, an address without a length included. */
export const parsePrefix = (text: string): Prefix | null => {
  const match = PREFIX.exec(text)
  if (match === null) return null
  const address = parseIpv4(match[1]!)
  if (address === null) return null
  const length = Number(match[2])
  return { address, length, mask: maskOf(length) }
}

export const formatPrefix = (address: number, length: number): string => `${formatIpv4(address)}/${length}`

export interface Mac {
  /** Upper 16 bits. */
  high: number
  /** Lower 32 bits, as int32. */
  low: number
}

/** Six pairs of hex digits with colons, in either case; null otherwise. */
export const parseMac = (text: string): Mac | null => {
  if (!MAC.test(text)) return null
  const digits = text.replaceAll(':', '')
  return { high: parseInt(digits.slice(0, 4), 16), low: parseInt(digits.slice(4), 16) | 0 }
}

export const formatMac = (high: number, low: number): string =>
  [high >>> 8, high & 0xff, low >>> 24, (low >>> 16) & 0xff, (low >>> 8) & 0xff, low & 0xff]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(':')

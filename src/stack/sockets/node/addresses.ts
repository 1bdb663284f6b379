/** Addresses and ports as programs for Node give and get them, with Node's errors. */
import { parseIpv4 } from '../../wire/address.js'

export interface AddressAndPort {
  readonly address: string
  readonly port: number
}

export interface SocketAddress extends AddressAndPort {
  readonly family: 'IPv4'
}

const PORT_MAX = 65535

const portError = (port: unknown): RangeError =>
  Object.assign(new RangeError(`options.port should be >= 0 and < 65536. Received ${String(port)}.`), { code: 'ERR_SOCKET_BAD_PORT' })

/** An address of the options. @throws TypeError ERR_INVALID_IP_ADDRESS */
export const addressOf = (text: string): number => {
  const address = parseIpv4(text)
  if (address !== null) return address
  throw Object.assign(new TypeError(`Invalid IP address: ${text}`), { code: 'ERR_INVALID_IP_ADDRESS' })
}

/** @throws RangeError ERR_SOCKET_BAD_PORT */
export const checkPort = (port: unknown): number => {
  const number = typeof port === 'string' && port.trim() !== '' ? Number(port) : port
  if (typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= PORT_MAX) return number
  throw portError(port)
}

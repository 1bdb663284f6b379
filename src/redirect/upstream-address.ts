/** The address of an upstream, as it is written: `socks5://[user:password@]host[:port]`. */
import { lookup } from 'node:dns/promises'
import { ExitCode, TsnatError } from '../errors.js'
import { parseIpv4 } from '../stack/wire/address.js'

export interface UpstreamAddress {
  /** IPv4 address, or a name. */
  readonly host: string
  readonly port: number
  readonly user: string | null
  readonly password: string
}

const USUAL_PORT = 1080
/** Bytes of a user name or password: RFC 1929 2 has one byte for the length. */
const CREDENTIAL_MAX = 255

const decoded = (text: string): string | null => {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

const isCredential = (text: string | null): text is string => text !== null && Buffer.byteLength(text) <= CREDENTIAL_MAX

/** Reads `socks5://[user:password@]host[:port]`; null when it is no such thing. */
export const parseUpstream = (text: string): UpstreamAddress | null => {
  const [, name, secret, host, port = String(USUAL_PORT)] = /^socks5h?:\/\/(?:([^:@/]+)(?::([^@/]*))?@)?([\w.-]+)(?::(\d{1,5}))?\/?$/i.exec(text) ?? []
  if (host === undefined || Number(port) < 1 || Number(port) > 65535) return null
  if (/^[\d.]+$/.test(host) && parseIpv4(host) === null) return null
  const user = decoded(name ?? '')
  const password = decoded(secret ?? '')
  if (!isCredential(user) || !isCredential(password)) return null
  return { host, port: Number(port), user: user === '' ? null : user, password }
}

/** As it may be shown: without the password. */
export const upstreamText = ({ host, port, user }: UpstreamAddress): string => `socks5://${user === null ? '' : `${encodeURIComponent(user)}@`}${host}:${port}`

/** @throws TsnatError UPSTREAM_NAME when the host's resolver does not know it */
export const resolveUpstream = async (host: string): Promise<string> => {
  if (parseIpv4(host) !== null) return host
  try {
    return (await lookup(host, { family: 4 })).address
  } catch (cause) {
    throw new TsnatError(`the upstream "${host}" has no IPv4 address: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`, {
      code: 'UPSTREAM_NAME', hint: 'give its address: socks5://192.0.2.1:1080', exitCode: ExitCode.config, cause,
    })
  }
}

/** Where syslog messages go, as the configuration writes it: `unix:/dev/log` or `udp:HOST:PORT`. */

export type SyslogTarget =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'udp'; readonly host: string; readonly port: number; readonly isIpv6: boolean }

const UDP = /^udp:(?:\[([\da-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/i

/** Longest path of a Unix socket, bytes. */
const PATH_MAX = 107

/** null for what is no target. */
export const parseSyslogTarget = (text: string): SyslogTarget | null => {
  if (text.startsWith('unix:/')) {
    const path = text.slice('unix:'.length)
    return Buffer.byteLength(path) > PATH_MAX || path.includes('\0') ? null : { kind: 'unix', path }
  }
  const [, ipv6, name, digits] = UDP.exec(text) ?? []
  const port = Number(digits)
  const host = ipv6 ?? name
  return host !== undefined && port >= 1 && port <= 65535 ? { kind: 'udp', host, port, isIpv6: ipv6 !== undefined } : null
}

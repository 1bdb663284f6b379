/** What a redirector is told to do, by the command line or the configuration. */

export const REDIRECT_PROTOCOLS = ['tcp', 'udp'] as const
export type RedirectProtocol = (typeof REDIRECT_PROTOCOLS)[number]
export const REDIRECT_WAYS = ['tproxy', 'redirect'] as const
export type RedirectWay = (typeof REDIRECT_WAYS)[number]
export const REDIRECT_PORT = 1080

export interface RedirectSettings {
  /** `socks5://[user:password@]host[:port]` */
  readonly to: string
  readonly protocols: readonly RedirectProtocol[]
  readonly by: RedirectWay
  /** Where the listeners are. */
  readonly port: number
  /** Destinations that are left alone, besides those that always are: addresses and prefixes. */
  readonly exclude: readonly string[]
  /** Whether rules are added that lead traffic to the listeners. */
  readonly rules: boolean
}

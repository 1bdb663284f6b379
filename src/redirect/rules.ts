/**
 * Rules that lead the traffic of the LAN to a redirector's listeners, in chains of their own, as commands for the tools' words; and those
 * that take all of it back.
 *
 * What the sockets of the gateway send themselves never meets PREROUTING, so it is not taken again.
 */
import type { PolicyRequest } from '../api/types.js'
import type { RedirectSettings } from './settings.js'

/** Of packets that TPROXY has given to a socket: one bit, so that rules of the user's may use the others. */
const MARK = '0x40000000/0x40000000'
/** Routing table that leads what has the mark to the gateway itself. */
const TABLE = '10080'
/** Where listeners of TPROXY are: nobody reaches them from outside. */
export const TPROXY_ADDRESS = '127.0.0.1'

/** Never taken: this host and link, multicast, broadcast, and what is reserved. */
const NEVER = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4']

const words = (tool: PolicyRequest['tool'], line: string): PolicyRequest => ({ tool, argv: line.split(' '), input: null })

/** Routing for TPROXY, the same for all redirectors. */
export const ROUTING: readonly { readonly add: PolicyRequest; readonly remove: PolicyRequest }[] = [
  ['rule', `fwmark ${MARK} lookup ${TABLE}`], ['route', `local default dev lo table ${TABLE}`],
].map(([object, what]) => ({ add: words('ip', `${object} add ${what}`), remove: words('ip', `${object} del ${what}`) }))

export interface RuleCommands {
  /** Adds everything, or nothing. */
  readonly add: PolicyRequest
  /** To be run one by one: what somebody else has removed already is no matter. */
  readonly remove: readonly PolicyRequest[]
}

/**
 * @param lan interface that clients come by
 * @param upstream address of the upstream
 */
export const ruleCommands = ({ by, port, protocols, exclude }: RedirectSettings, lan: string, upstream: string): RuleCommands => {
  const [table, target] = by === 'tproxy'
    ? ['mangle', `TPROXY --on-port ${port} --on-ip ${TPROXY_ADDRESS} --tproxy-mark ${MARK}`] as const
    : ['nat', `REDIRECT --to-ports ${port}`] as const
  const chain = `TSNAT_REDIRECT_${port}`
  const jumps = protocols.map((protocol) => `PREROUTING -i ${lan} -p ${protocol} -j ${chain}`)
  const text = [
    `*${table}`,
    `:${chain} - [0:0]`,
    ...[`${upstream}/32`, ...exclude, ...NEVER].map((prefix) => `-A ${chain} -d ${prefix} -j RETURN`),
    `-A ${chain} -m addrtype --dst-type LOCAL -j RETURN`,
    ...protocols.map((protocol) => `-A ${chain} -p ${protocol} -j ${target}`),
    ...jumps.map((jump) => `-A ${jump}`),
    'COMMIT',
    '',
  ].join('\n')
  return {
    add: { tool: 'iptables-restore', argv: ['--noflush'], input: { name: 'rules of the redirector', text } },
    remove: [...jumps.map((jump) => `-D ${jump}`), `-F ${chain}`, `-X ${chain}`].map((line) => words('iptables', `-t ${table} ${line}`)),
  }
}

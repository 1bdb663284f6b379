/** TPROXY and SYNPROXY. */
import { formatIpv4 } from '../../../stack/wire/address.js'
import type { SynproxyTarget, TproxyTarget } from '../../model.js'
import { firstOf, join, onlyFor, onlyFrom, onlyIn, type TargetExtension } from '../extension.js'
import { flag, value } from '../options.js'
import { hex, parseAddress, parseMasked, parseNumber, parsePort } from '../values.js'

export const tproxy: TargetExtension<TproxyTarget> = {
  name: 'TPROXY',
  options: [value('on-port'), value('on-ip'), value('tproxy-mark')],
  parse: (given) => ({
    kind: 'TPROXY',
    port: given.need('on-port', (word) => parsePort(word)),
    address: given.read('on-ip', (word) => parseAddress(word)) ?? 0,
    ...(given.read('tproxy-mark', (word) => parseMasked(word)) ?? { value: 0, mask: 0 }),
  }),
  save: (target) => `--on-port ${target.port} --on-ip ${formatIpv4(target.address)} --tproxy-mark ${hex(target.value)}/${hex(target.mask)}`,
  list: (target) => `TPROXY redirect ${formatIpv4(target.address)}:${target.port} mark ${hex(target.value)}/${hex(target.mask)}`,
  check: (_, where) => firstOf(
    onlyIn('TPROXY', where, 'mangle'), onlyFrom('TPROXY', where, ['PREROUTING']), onlyFor('TPROXY', where, { tcp: 6, udp: 17 }),
  ),
}

const synproxyWords = (target: SynproxyTarget, dashes: '--' | ''): string => join(
  target.sackPermitted && `${dashes}sack-perm`,
  target.timestamp && `${dashes}timestamp`,
  target.windowScale !== null && `${dashes}wscale ${target.windowScale}`,
  target.mss !== null && `${dashes}mss ${target.mss}`,
  target.ecn && `${dashes}ecn`,
)

export const synproxy: TargetExtension<SynproxyTarget> = {
  name: 'SYNPROXY',
  options: [flag('sack-perm'), flag('timestamp'), value('wscale'), value('mss'), flag('ecn')],
  parse: (given) => ({
    kind: 'SYNPROXY',
    sackPermitted: given.has('sack-perm'),
    timestamp: given.has('timestamp'),
    windowScale: given.read('wscale', (word) => parseNumber(word, 0, 14)),
    mss: given.read('mss', (word) => parseNumber(word, 0, 65535)),
    ecn: given.has('ecn'),
  }),
  save: (target) => synproxyWords(target, '--'),
  list: (target) => {
    const words = synproxyWords(target, '')
    return words === '' ? 'SYNPROXY ' : `SYNPROXY ${words} `
  },
  check: (_, where) => firstOf(onlyFor('SYNPROXY', where, { tcp: 6 }), onlyFrom('SYNPROXY', where, ['INPUT', 'FORWARD'])),
}

import { describe, expect, it } from 'vitest'
import { parseIpv4 } from '../../../src/stack/wire/address.js'
import { outputOf, rulesetOf, specOf } from './support.js'

const ip = (text: string): number => parseIpv4(text)!
const match = (rule: string) => specOf(rule).matches[0]
const target = (rule: string, table: 'raw' | 'mangle' | 'nat' | 'filter' = 'filter', chain = 'INPUT') => specOf(rule, table, chain).target

describe('what rules come to be', () => {
  it('masks addresses, and makes no test of any address or interface', () => {
    expect(specOf('-s 10.1.2.3/8 ! -d 1.2.3.4 -i eth+ -p tcp ! -f')).toEqual({
      source: { address: ip('10.0.0.0'), mask: ip('255.0.0.0'), not: false },
      destination: { address: ip('1.2.3.4'), mask: -1, not: true },
      inInterface: { name: 'eth', wildcard: true, not: false },
      outInterface: null,
      protocol: { number: 6, not: false },
      fragment: { not: true },
      matches: [],
      target: null,
    })
    expect(specOf('-s 0/0 -i + -p all')).toMatchObject({ source: null, inInterface: null, protocol: null })
  })

  it('has flags, states and marks as numbers', () => {
    expect(match('-p tcp --tcp-flags SYN,ACK,FIN SYN')).toMatchObject({ flags: { mask: 0x13, value: 2, not: false }, source: null })
    expect(match('-m conntrack --ctstate NEW,ESTABLISHED')).toMatchObject({ state: { bits: 8 | 2, not: false } })
    expect(match('-m mark ! --mark 0x10/0xf0')).toEqual({ module: 'mark', value: 0x10, mask: 0xf0, not: true })
    expect(match('-m mark --mark 4294967295')).toEqual({ module: 'mark', value: 0xffffffff, mask: 0xffffffff, not: false })
    expect(match('-m limit --limit 2/min')).toEqual({ module: 'limit', period: 300_000, burst: 5 })
    expect(match('-m statistic --mode random --probability 0.5')).toMatchObject({ probability: 0x40000000 })
    expect(match('-m time --weekdays Mon,Sun --timestart 1:00')).toMatchObject({ weekDays: 0x82, dayStart: 3600, dayStop: 86399 })
  })

  it('brings all ways to set a mark to value and mask', () => {
    const mark = (rule: string) => target(`-j MARK ${rule}`)
    expect(mark('--set-mark 5')).toEqual({ kind: 'MARK', value: 5, mask: 0xffffffff })
    expect(mark('--set-mark 5/3')).toEqual({ kind: 'MARK', value: 5, mask: 7 })
    expect(mark('--set-xmark 5/3')).toEqual({ kind: 'MARK', value: 5, mask: 3 })
    expect(mark('--and-mark 5')).toEqual({ kind: 'MARK', value: 0, mask: 0xfffffffa })
    expect(mark('--or-mark 5')).toEqual({ kind: 'MARK', value: 5, mask: 5 })
    expect(mark('--xor-mark 5')).toEqual({ kind: 'MARK', value: 5, mask: 0 })
    expect(target('-j CONNMARK --restore-mark --mask 0xff')).toEqual({ kind: 'CONNMARK', operation: 'restore', ctMask: 0xff, nfMask: 0xff })
  })

  it('has the ranges of translations', () => {
    expect(target('-p tcp -j DNAT --to 10.0.0.1-10.0.0.5:1000-2000/500 --persistent', 'nat', 'PREROUTING')).toEqual({
      kind: 'DNAT', addresses: { first: ip('10.0.0.1'), last: ip('10.0.0.5') }, ports: { first: 1000, last: 2000 }, base: 500,
      random: false, persistent: true,
    })
    expect(target('-p tcp -j SNAT --to-source :5', 'nat', 'POSTROUTING')).toMatchObject({ addresses: null, ports: { first: 5, last: 5 } })
    expect(target('-j NETMAP --to 192.168.1.9/24', 'nat', 'PREROUTING')).toEqual({ kind: 'NETMAP', address: ip('192.168.1.0'), mask: ip('255.255.255.0') })
  })
})

describe('commands of the articles that people follow', () => {
  it.each([
    ['S1', ['-t nat -A POSTROUTING -s 172.18.0.0/16 -p tcp -o eth0 -j MASQUERADE --to-ports 55666-55680', '-t nat -A POSTROUTING -s 172.18.0.0/16 -o eth0 -j MASQUERADE']],
    ['S3', ['-t mangle -A OUTPUT -d 1.1.1.1 -j MARK --set-mark 100']],
    ['S4', ['-t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 1080', '-t nat -A OUTPUT -p udp -j REDIRECT --to-ports 1080']],
    ['S5', ['-t mangle -A PREROUTING -p udp -j TPROXY --tproxy-mark 0x2333/0x2333 --on-ip 127.0.0.1 --on-port 1080']],
    ['S6', ['-t mangle -A PREROUTING -p udp --dport 80 -j TPROXY --tproxy-mark 0x1/0x1 --on-port 8000']],
    ['S7', [
      '-t mangle -N tproxy_divert', '-t mangle -A tproxy_divert -j MARK --set-mark 0x233', '-t mangle -A tproxy_divert -j ACCEPT',
      '-t mangle -A PREROUTING -p tcp -m socket -j tproxy_divert',
      '-t mangle -A PREROUTING -p tcp -j TPROXY --on-port 10000 --on-ip 127.0.0.1 --tproxy-mark 0x233',
    ]],
    ['S8', [
      '-t nat -A PREROUTING -d 203.0.113.0/24 -j NETMAP --to 10.0.0.0/24', '-t nat -A POSTROUTING -s 10.0.0.0/24 -j NETMAP --to 203.0.113.0/24',
      '-t nat -A POSTROUTING -o eth0 -j SNAT --to-source 203.0.113.1-203.0.113.9 --persistent',
      '-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.5-10.0.0.9:8080',
    ]],
    ['S10', [
      '-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu', '-t mangle -A PREROUTING -j CONNMARK --restore-mark',
      '-t mangle -A POSTROUTING -j TTL --ttl-set 64', '-t mangle -A PREROUTING -m set --match-set bad src -j MARK --set-mark 1',
      '-t raw -A PREROUTING -p tcp --syn -j CT --notrack',
      '-A INPUT -p tcp -m state --state INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460',
    ]],
  ])('%s: are taken word by word', (_, commands) => {
    const ruleset = rulesetOf(...commands)
    const printed = ['raw', 'mangle', 'nat', 'filter'].map((table) => outputOf(ruleset, `-t ${table} -S`)).join('').split('\n')
    expect(printed.filter((line) => line.startsWith('-A'))).toHaveLength(commands.filter((command) => command.includes(' -A ') || command.startsWith('-A')).length)
  })
})

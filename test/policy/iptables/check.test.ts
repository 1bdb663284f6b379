import { describe, expect, it } from 'vitest'
import { runIptables } from '../../../src/policy/iptables/index.js'
import { errorOf, rulesetOf, words } from './support.js'

const message = (command: string, ...before: string[]): string => errorOf(() => runIptables(rulesetOf(...before), words(command))).message

describe('what a whole table must be like', () => {
  it('has no chain that leads back to itself, by jumps or gotos', () => {
    expect(message('-A a -j a', '-N a')).toBe('chain a of table filter: chain a leads back to itself by way of a')
    expect(message('-A c -g a', '-N a', '-N b', '-N c', '-A a -j b', '-A b -j c')).toContain('leads back to itself')
  })

  it('takes chains that meet again without a circle, and deep ones', () => {
    rulesetOf('-N a', '-N b', '-N c', '-A INPUT -j a', '-A INPUT -j b', '-A a -j c', '-A b -j c', '-A INPUT -g c')
    const names = Array.from({ length: 300 }, (_, index) => `c${index}`)
    rulesetOf(...names.map((name) => `-N ${name}`), ...names.slice(1).map((name, index) => `-A c${index} -j ${name}`), '-A INPUT -j c0')
  })

  it('holds rules of user chains to the hooks that they are reached from', () => {
    const chains = ['-t nat -N a', '-t nat -N b', '-t nat -A a -j b']
    expect(message('-t nat -A PREROUTING -j a', ...chains, '-t nat -A b -j MASQUERADE'))
      .toBe('chain b of table nat: MASQUERADE works from POSTROUTING only, and this rule is reached from PREROUTING')
    expect(message('-t nat -A b -j MASQUERADE', ...chains, '-t nat -A OUTPUT -g a')).toContain('reached from OUTPUT')
    rulesetOf(...chains, '-t nat -A b -j MASQUERADE', '-t nat -A POSTROUTING -j a')
  })

  it('takes a rule in a chain that nothing leads to, whatever its hooks', () => {
    rulesetOf('-t nat -N unused', '-t nat -A unused -j MASQUERADE', '-t nat -A unused -p tcp -j REDIRECT --to-ports 80')
  })

  it.each([
    ['-t nat -A PREROUTING -j SNAT --to 1.2.3.4', 'SNAT works from INPUT, POSTROUTING only, and this rule is reached from PREROUTING'],
    ['-t mangle -A OUTPUT -p tcp -j TPROXY --on-port 80', 'TPROXY works from PREROUTING only, and this rule is reached from OUTPUT'],
    ['-t mangle -A PREROUTING -j TPROXY --on-port 80', 'TPROXY needs -p tcp or udp'],
    ['-A INPUT -j TPROXY --on-port 80', 'TPROXY works in table mangle only, and this is table filter'],
    ['-t nat -A POSTROUTING -j REDIRECT', 'REDIRECT works from PREROUTING, OUTPUT only, and this rule is reached from POSTROUTING'],
    ['-t nat -A POSTROUTING -j MASQUERADE --to-ports 1-2', 'a range of ports needs -p tcp, udp, sctp, dccp, udplite or icmp'],
    ['-t nat -A POSTROUTING ! -p tcp -j SNAT --to 1.2.3.4:5', 'a range of ports needs -p tcp, udp, sctp, dccp, udplite or icmp'],
    ['-A INPUT -p udp -m tcp --dport 80', '-m tcp needs -p tcp'],
    ['-A INPUT -o eth0', 'packets in INPUT have no outgoing interface, so "-o" never holds'],
    ['-A OUTPUT -m socket', '-m socket works from PREROUTING, INPUT only, and this rule is reached from OUTPUT'],
    ['-t nat -A PREROUTING -j DROP', 'table nat sees the first packet of a flow only; DROP belongs into table filter'],
  ])('refuses %s', (command, expected) => {
    expect(message(command)).toBe(expected)
  })
})

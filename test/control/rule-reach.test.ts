import { describe, expect, it } from 'vitest'
import { reachOf, type RuleReach } from '../../src/control/rule-reach.js'
import { formatPorts } from '../../src/host/port-set.js'
import { emptyRuleset, restoreRuleset } from '../../src/policy/iptables/index.js'
import { formatIpv4 } from '../../src/stack/wire/address.js'

const reach = (rules: string): RuleReach => reachOf(restoreRuleset(emptyRuleset(), `*nat\n${rules}\nCOMMIT\n`, {}), 'tun0', () => [INSIDE])
const INSIDE = { address: 0x0a000000, mask: ~0xffffff }
const text = ({ ports, pings, sources, networks }: RuleReach): object => ({
  tcp: formatPorts(ports.tcp), udp: formatPorts(ports.udp), pings, sources: formatPorts(sources),
  networks: networks.map(({ address, mask }) => `${formatIpv4(address)}/${formatIpv4(mask)}`),
})
const NOTHING = { tcp: '', udp: '', pings: false, sources: '', networks: [] }

describe('what rules make tsnat\'s on the outside', () => {
  it('nothing without rules, and by rules for packets from inside', () => {
    expect(text(reach(''))).toEqual(NOTHING)
    expect(text(reach('-A PREROUTING -i tun0 -j DNAT --to-destination 10.0.0.2\n-A POSTROUTING -o eth0 -j MASQUERADE'))).toEqual(NOTHING)
  })

  it('ports of DNAT and REDIRECT, of one protocol', () => {
    expect(text(reach('-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.2\n-A PREROUTING -p udp -m multiport --dports 53,5000:5010 -j REDIRECT --to-ports 1080')))
      .toEqual({ ...NOTHING, tcp: '80', udp: '53,5000-5010' })
  })

  it('all of them where a rule names none', () => {
    expect(text(reach('-A PREROUTING -i eth0 -j DNAT --to-destination 10.0.0.2'))).toEqual({ ...NOTHING, tcp: '1-65535', udp: '1-65535', pings: true })
  })

  it('through chains of the user, by what the way there says', () => {
    expect(text(reach(':in - [0:0]\n-A PREROUTING -d 192.0.2.0/24 -p tcp --dport 8000:8010 -j in\n-A in -s 1.2.3.4/32 -j DNAT --to-destination 10.0.0.2')))
      .toEqual({ ...NOTHING, tcp: '8000-8010', networks: ['192.0.2.0/255.255.255.0'] })
  })

  it('addresses and ports of SNAT, MASQUERADE and NETMAP', () => {
    expect(text(reach('-A POSTROUTING -p tcp -j SNAT --to-source 192.0.2.5-192.0.2.8:6000-6010\n-A POSTROUTING -p udp -j MASQUERADE --to-ports 7000\n-A POSTROUTING -j NETMAP --to 198.51.100.0/24')))
      .toEqual({ ...NOTHING, sources: '6000-6010,7000', networks: ['192.0.2.5/255.255.255.255', '192.0.2.6/255.255.255.254', '192.0.2.8/255.255.255.255', '198.51.100.0/255.255.255.0'] })
  })

  it('networks inside, as soon as something may leave as it is', () => {
    expect(reach('-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.2').inside).toEqual([])
    expect(reach('-A POSTROUTING -d 10.8.0.0/16 -j ACCEPT').inside).toEqual([INSIDE])
    expect(reach('COMMIT\n*raw\n-A PREROUTING -p udp -j CT --notrack').inside).toEqual([INSIDE])
    expect(reach('COMMIT\n*raw\n-A PREROUTING -p udp -j DROP').inside).toEqual([])
  })

  it('a range that ends with the last address', () => {
    expect(text(reach('-A POSTROUTING -j SNAT --to-source 255.255.255.254-255.255.255.255'))).toEqual({ ...NOTHING, networks: ['255.255.255.254/255.255.255.254'] })
  })
})

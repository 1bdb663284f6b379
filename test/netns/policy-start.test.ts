/** Rules, sets and routes that a gateway begins with. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { GATEWAY, GatewayLab, SERVER } from './gateway-support.js'

let bed: GatewayLab
let folder: string

beforeEach(async () => {
  bed = await GatewayLab.create()
  folder = bed.lab.temporaryDirectory()
})
afterEach(async () => {
  await bed.close()
})

const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const says = async (text: string): Promise<string> => {
  const { code, stdout, stderr } = await bed.tsnat(...text.split(' '))
  expect({ text, code, stderr }).toEqual({ text, code: 0, stderr: '' })
  return stdout
}

const RULES = '*filter\n:FORWARD ACCEPT [5:300]\n[2:120] -A FORWARD -m set --match-set bad src -j DROP\nCOMMIT\n'
const SETS = 'create bad hash:ip\nadd bad 192.0.2.7\n'
const ROUTES = `route add default via 203.0.113.77 src ${GATEWAY} table 100\nrule add fwmark 100 table 100\n`

it('are those of the files that the flags name', async () => {
  await bed.up('--rules', file('rules.v4', RULES), '--ipset', file('sets', SETS), '--ip-batch', file('routes', ROUTES))
  expect(await says('iptables-save -c')).toContain('[2:120] -A FORWARD -m set --match-set bad src -j DROP\n')
  expect(await says('iptables -L FORWARD -v -n -x')).toMatch(/^Chain FORWARD \(policy ACCEPT 5 packets, 300 bytes\)/)
  expect(await says('ipset save')).toContain('add bad 192.0.2.7\n')
  expect(await says('ip route get 8.8.8.8 mark 100')).toContain(`8.8.8.8 via 203.0.113.77 dev eth0 table 100 src ${GATEWAY}`)
})

it('or lines of the configuration file', async () => {
  const block = (text: string): string => text.trimEnd().split('\n').map((line) => `  ${line}`).join('\n')
  const config = file('tsnat.yaml', `wan: eth0\ncapture: {iif: [eth1]}\nrules: |\n${block(RULES)}\nipset: {file: ${file('sets', SETS)}}\nipBatch: |\n${block(ROUTES)}\n`)
  await bed.up('--config', config)
  expect(await says('iptables -S FORWARD')).toBe('-P FORWARD ACCEPT\n-A FORWARD -m set --match-set bad src -j DROP\n')
  expect(await says('ip rule show')).toContain('from all fwmark 0x64 lookup 100')
})

it('are checked as a whole before anything on the host is changed', async () => {
  const before = await bed.snapshot()
  const refused = async (flags: string[], ...parts: string[]): Promise<void> => {
    const { code, stderr } = await bed.tsnat(...bed.upCommand(...flags).slice(1))
    expect(code, stderr).toBe(78)
    for (const part of parts) expect(stderr).toContain(part)
    expect(await bed.snapshot()).toEqual(before)
  }
  const sets = file('sets', SETS)
  await refused(['--rules', file('bad.v4', RULES.replace('DROP\nCOMMIT', 'DORP\nCOMMIT'))], 'bad.v4 line 3, column 50: ', 'did you mean "DROP"?')
  await refused(['--rules', file('rules.v4', RULES)], 'rules.v4: table filter, chain FORWARD, rule 1: there is no set "bad"')
  await refused(['--ipset', file('bad.sets', 'create bad hash:op\n')], 'bad.sets line 1, column 12: ')
  await refused(['--ipset', sets, '--ip-batch', file('bad.routes', `route add 10.9.0.0/16 via ${SERVER}\nroute add 10.8.0.0/16 via 198.51.100.7\n`)], 'bad.routes:2:1: Error: Nexthop has invalid gateway.')
  await refused(['--rules', join(folder, 'nothing')], 'cannot read', 'nothing (rules): it or its folder does not exist')
  const config = file('tsnat.yaml', 'wan: eth0\nrules: |\n  *filter\n  -A FORWARD -j DORP\n  COMMIT\n')
  await refused(['--config', config], 'rules line 2, column 15: ')
})

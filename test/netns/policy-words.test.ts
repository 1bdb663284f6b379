/** Rules, routes and sets of a running gateway, by the words of iptables, ip and ipset. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunResult } from '../../src/testing/lab/index.js'
import { CLI, fetchPage, GATEWAY, GatewayLab, SERVER, serveHttp } from './gateway-support.js'

let bed: GatewayLab
let folder: string

beforeAll(async () => {
  bed = await GatewayLab.create()
  folder = bed.lab.temporaryDirectory()
  await bed.up('--log-level', 'warn')
})
afterAll(async () => {
  await bed.close()
})

const words = (text: string): Promise<RunResult> => bed.tsnat(...text.split(' '))
/** What a command prints, which must be all that it has to say. */
const says = async (text: string): Promise<string> => {
  const { code, stdout, stderr } = await words(text)
  expect({ text, code, stderr }).toEqual({ text, code: 0, stderr: '' })
  return stdout
}
const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe('tsnat iptables', () => {
  it('adds, lists, checks and deletes rules, and says nothing else', async () => {
    expect(await says('iptables -t nat -A POSTROUTING -s 172.18.0.0/16 -p tcp -o eth0 -j MASQUERADE --to-ports 55666-55680')).toBe('')
    expect(await says('iptables -t nat -A POSTROUTING -s 172.18.0.0/16 -o eth0 -j MASQUERADE')).toBe('')
    expect(await says('iptables -t nat -S POSTROUTING')).toBe(`-P POSTROUTING ACCEPT
-A POSTROUTING -s 172.18.0.0/16 -o eth0 -p tcp -j MASQUERADE --to-ports 55666-55680
-A POSTROUTING -s 172.18.0.0/16 -o eth0 -j MASQUERADE
`)
    expect(await says('iptables -t nat -C POSTROUTING -s 172.18.0.0/16 -o eth0 -j MASQUERADE')).toBe('')
    expect(await words('iptables -t nat -C POSTROUTING -s 172.19.0.0/16 -j MASQUERADE')).toMatchObject({ code: 1, stdout: '' })
    expect(await says('iptables -t nat -D POSTROUTING 2')).toBe('')
    expect(await says('iptables -t nat -L POSTROUTING -n --line-numbers')).toBe(`Chain POSTROUTING (policy ACCEPT)
num  target     prot opt source               destination         
1    MASQUERADE  tcp  --  172.18.0.0/16        0.0.0.0/0            masq ports: 55666-55680
`)
    expect(await says('iptables -t nat -F')).toBe('')
  })

  it('saves what it restores, and restores what it saves', async () => {
    const saved = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [7:420]
:OUTPUT ACCEPT [0:0]
:mine - [0:0]
[3:180] -A FORWARD -i tun0 -p tcp -m multiport --dports 80,443 -j mine
[1:60] -A mine -m conntrack --ctstate NEW -j ACCEPT
COMMIT
`
    const path = file('rules.v4', saved)
    const withoutComments = (text: string): string => text.replaceAll(/^#.*\n/gm, '')
    expect(await says(`iptables-restore -c ${path}`)).toBe('')
    const first = withoutComments(await says('iptables-save -c'))
    expect(first).toBe(saved)
    const again = await bed.run(bed.gateway, 'sh', ['-c', `node ${CLI} iptables-save -c | node ${CLI} iptables-restore -c`], { env: bed.environment })
    expect(again).toMatchObject({ code: 0, stderr: '' })
    expect(withoutComments(await says('iptables-save -c'))).toBe(first)
    expect(await says(`iptables-save -c -f ${join(folder, 'out')}`)).toBe('')
    expect(await says(`iptables-restore --test ${join(folder, 'out')}`)).toBe('')
    expect(await says('iptables -Z')).toBe('')
    expect(withoutComments(await says('iptables-save -c'))).toBe(first.replaceAll(/\[\d+:\d+\]/g, '[0:0]'))
    expect(await says('iptables -P FORWARD ACCEPT')).toBe('')
    expect(await says('iptables -F')).toBe('')
    expect(await says('iptables -X')).toBe('')
    expect(await says('iptables-save')).toBe('')
  })

  it('refuses with the exit code of iptables and the nearest word, and changes nothing', async () => {
    await says('iptables -A FORWARD -d 10.1.0.0/16 -j DROP')
    const before = await says('iptables -S')
    const refused = async (text: string, code: number, ...parts: string[]): Promise<void> => {
      const result = await words(text)
      expect({ text, code: result.code, stdout: result.stdout }).toEqual({ text, code, stdout: '' })
      for (const part of parts) expect(result.stderr).toContain(part)
    }
    await refused('iptables -A FORWARD -j MASQARADE', 2, 'iptables: ', 'did you mean "MASQUERADE"?')
    await refused('iptables -t nat -A PREROUTING -j MASQUERADE', 1, 'MASQUERADE')
    await refused('iptables -A FORWARD -p tcp -m tcp --dport 80 -j SYNPROXY --mss 1460', 2, 'SYNPROXY is not taken')
    await refused('iptables -A FORWARD -m set --match-set nobody src -j DROP', 1, 'there is no set "nobody"', 'tsnat ipset create nobody')
    await refused('iptables -A FORWARD -m owner --uid-owner 0 -j DROP', 2, 'owner')
    const bad = file('bad.v4', '*filter\n-F FORWARD\n-A FORWARD -j DORP\nCOMMIT\n')
    await refused(`iptables-restore ${bad}`, 2, `${bad} line 3, column 15: `, 'did you mean "DROP"?')
    await refused('iptables-restore /nowhere/rules', 1, 'iptables-restore: cannot read /nowhere/rules: it or its folder does not exist')
    expect(await says('iptables -S')).toBe(before)
    await says('iptables -F FORWARD')
  })
})

describe('what a command has changed', () => {
  it('is in effect for the next packet when it returns', async () => {
    await serveHttp(bed.server)
    const fetch = (): Promise<string> => fetchPage(bed.client, `http://${SERVER}/`, '--connect-timeout', '1')
    expect(await fetch()).toContain(GATEWAY)
    await says(`iptables -A FORWARD -p tcp -d ${SERVER} --dport 80 -j REJECT --reject-with tcp-reset`)
    expect(await fetch()).toBe('error 7')
    expect(await says('iptables -L FORWARD -v -n -x')).toMatch(/\n +[1-9]\d* +\d+ REJECT /)
    await says('iptables -F FORWARD')
    expect(await fetch()).toContain(GATEWAY)
  })

  it('with 10 000 rules takes effect without a packet lost', async () => {
    const lines = Array.from({ length: 10_000 }, (_, n) => `-A FORWARD -s 10.${n >>> 8}.${n & 255}.0/24 -p tcp --dport ${1000 + n} -j DROP`)
    const path = file('many.v4', `*filter\n${lines.join('\n')}\nCOMMIT\n`)
    const pings = bed.client.run('ping', ['-i', '0.002', '-w', '6', SERVER])
    for (let round = 0; round < 2; round++) expect(await says(`iptables-restore ${path}`)).toBe('')
    expect((await says('iptables -S FORWARD')).split('\n').length).toBe(10_002)
    expect(await says('iptables -F FORWARD')).toBe('')
    const answered = new Set([...(await pings).stdout.matchAll(/icmp_seq=(\d+) ttl/g)].map(([, number]) => Number(number)))
    expect(answered.size).toBeGreaterThan(200)
    // The last ones may be under way when its time is over.
    expect(Math.max(...answered)).toBe(answered.size)
  })
})

describe('tsnat ip', () => {
  it('has the kernel\'s routes and tsnat\'s own interfaces', async () => {
    expect(await says('ip route show')).toBe(`default via ${SERVER} dev eth0 \n10.77.0.0/24 dev tun0 proto kernel scope link src 10.77.0.1 \n192.168.1.0/24 dev tun0 proto kernel scope link \n203.0.113.0/24 dev eth0 proto kernel scope link src ${GATEWAY} \n`)
    expect(await says('ip rule')).toBe('0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n')
    expect(await says('ip route get 8.8.8.8')).toContain(`8.8.8.8 via ${SERVER} dev eth0 src ${GATEWAY}`)
  })

  it('adds, shows and deletes rules and routes', async () => {
    expect(await says('ip rule add fwmark 100 table 100')).toBe('')
    expect(await says(`ip route add 0.0.0.0/0 via 203.0.113.77 src ${GATEWAY} table 100`)).toBe('')
    expect(await says('ip rule show')).toContain('32765:\tfrom all fwmark 0x64 lookup 100\n')
    expect(await says('ip route show table 100')).toBe(`default via 203.0.113.77 dev eth0 src ${GATEWAY} \n`)
    expect(await says('ip route get 8.8.8.8 mark 100')).toContain('via 203.0.113.77 dev eth0 table 100')
    expect(await says('ip -j route show table 100')).toBe(`[{"dst":"default","gateway":"203.0.113.77","dev":"eth0","prefsrc":"${GATEWAY}","flags":[]}]\n`)
    expect(await says('ip rule del fwmark 100')).toBe('')
    expect(await says('ip route flush table 100')).toBe('')
  })

  it('refuses as ip does, and takes all of a file or nothing', async () => {
    expect(await words('ip route add 10.9.0.0/16 via 198.51.100.77')).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Error: Nexthop has invalid gateway.\n') as string })
    expect(await words('ip route add 10.9.0.0/16 dev eth7')).toMatchObject({ code: 1, stderr: expect.stringContaining('Cannot find device "eth7"') as string })
    expect(await words('ip route ad 10.9.0.0/16 dev eth7')).toMatchObject({ code: 1 })
    expect(await words('ip rule add fwmrk 1 table 1')).toMatchObject({ code: 255, stderr: expect.stringContaining('did you mean "fwmark"?') as string })
    const path = file('routes.batch', `route add 10.9.0.0/16 via ${SERVER}\nrule add from 10.9.0.0/16 lookup 100\nroute add 10.8.0.0/16 vai ${SERVER}\n`)
    const { code, stderr } = await words(`ip -batch ${path}`)
    expect({ code, stderr: stderr.split('\n')[0] }).toEqual({ code: 1, stderr: expect.stringContaining(`${path}:3:23: `) as string })
    expect(await says('ip route show 10.9.0.0/16')).toBe('')
    const good = file('good.batch', `route add 10.9.0.0/16 via ${SERVER} # a comment\nrule add from 10.9.0.0/16 lookup 100\n`)
    expect(await says(`ip -batch ${good}`)).toBe('')
    expect(await says('ip route show 10.9.0.0/16')).toBe(`10.9.0.0/16 via ${SERVER} dev eth0 \n`)
    await says('ip rule flush from 10.9.0.0/16')
  })

  it('follows the kernel, and keeps what was typed', async () => {
    await bed.ip(bed.gateway, `route add 198.18.0.0/15 via ${SERVER} dev eth0`)
    await expect.poll(() => says('ip route show 198.18.0.0/15')).toBe(`198.18.0.0/15 via ${SERVER} dev eth0 \n`)
    await bed.ip(bed.gateway, 'route del 198.18.0.0/15')
    await expect.poll(() => says('ip route show 198.18.0.0/15')).toBe('')
    expect(await says('ip route show 10.9.0.0/16')).not.toBe('')
    await bed.ip(bed.gateway, 'addr add 203.0.113.200/25 dev eth0')
    await expect.poll(() => says('ip route show 203.0.113.128/25')).toBe('203.0.113.128/25 dev eth0 proto kernel scope link src 203.0.113.200 \n')
  })
})

describe('tsnat ipset', () => {
  it('makes sets, which rules name and which cannot be destroyed then', async () => {
    expect(await says('ipset create bad hash:ip timeout 600')).toBe('')
    expect(await says('ipset add bad 192.0.2.7 timeout 0')).toBe('')
    expect(await words('ipset test bad 192.0.2.7')).toMatchObject({ code: 0, stderr: '192.0.2.7 is in set bad.\n' })
    expect(await words('ipset test bad 192.0.2.8')).toMatchObject({ code: 1, stderr: '192.0.2.8 is NOT in set bad.\n' })
    await says('iptables -A FORWARD -m set --match-set bad src -j DROP')
    expect(await words('ipset destroy bad')).toMatchObject({ code: 1, stderr: expect.stringContaining('ipset: set "bad" cannot be destroyed') as string })
    const saved = await says('ipset save')
    expect(saved).toMatch(/^create bad hash:ip .*\nadd bad 192\.0\.2\.7 timeout 0\n$/)
    await says('iptables -F FORWARD')
    expect(await says('ipset destroy')).toBe('')
    const restored = await bed.run(bed.gateway, 'sh', ['-c', `node ${CLI} ipset restore`], { env: bed.environment, input: saved })
    expect(restored).toMatchObject({ code: 0, stdout: '', stderr: '' })
    expect(await says('ipset save')).toBe(saved)
  })

  it('takes a hundred thousand elements at once', async () => {
    const lines = ['create many hash:ip maxelem 200000']
    for (let n = 0; n < 100_000; n++) lines.push(`add many 10.${n >>> 16}.${(n >>> 8) & 255}.${n & 255}`)
    expect(await says(`ipset restore -f ${file('many', lines.join('\n'))}`)).toBe('')
    expect(await says('ipset list many -t')).toContain('Number of entries: 100000\n')
    expect(await words('ipset test many 10.1.0.7')).toMatchObject({ code: 0 })
  })
})

describe('which gateway', () => {
  it('is said before the words, or by the environment', async () => {
    expect(await says('iptables --name default -S FORWARD')).toBe('-P FORWARD ACCEPT\n')
    expect(await words('iptables --name other -S FORWARD')).toMatchObject({ code: 3, stderr: expect.stringContaining('no instance named "other" is running') as string })
    const { code, stderr } = await bed.run(bed.gateway, process.execPath, [CLI, 'ip', 'rule'], { env: { ...bed.environment, TSNAT_NAME: 'another' } })
    expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringContaining('"another"') as string })
  })
})

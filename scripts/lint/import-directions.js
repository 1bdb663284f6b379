/**
 * Lint rule: which file may import what. Relative imports are resolved and compared with the tables below; a name that ends
 * with "/" stands for a folder. Type-only imports count like others, except where it is said.
 */
import { dirname, relative, resolve } from 'node:path'

/** What the worker is made of. None of it knows anything outside, and none of it needs a package. */
const BASE = ['src/errors', 'src/drop', 'src/native']
const DATA_PLANE = [
  ...BASE, 'src/stack/', 'src/nat/', 'src/route/', 'src/policy/model', 'src/policy/engine/', 'src/policy/sets/', 'src/hooks/', 'src/trace/',
  'src/admission', 'src/attachment', 'src/clock', 'src/data-plane', 'src/data-plane-memory', 'src/epoch', 'src/error-path', 'src/explain',
  'src/fragment-path', 'src/knocks', 'src/known-flows', 'src/local-delivery', 'src/local-flows', 'src/local-path', 'src/new-flows',
  'src/new-local', 'src/next-hop-queue', 'src/outside-ports', 'src/own-egress', 'src/own-errors', 'src/own-flows', 'src/own-host',
  'src/own-sockets', 'src/own-traffic', 'src/path-check', 'src/pipeline', 'src/policy-plane', 'src/policy-protocol', 'src/publish-stats',
  'src/recent-peers', 'src/reports', 'src/routing', 'src/socket-port', 'src/socket-ring', 'src/stats', 'src/told-paths', 'src/worker',
  'src/worker-protocol', 'src/worker-wan',
]

/** The first entry that covers a file applies: its relative imports must be among `may`. */
const DIRECTIONS = [
  { files: BASE, may: BASE },
  { files: ['src/stack/'], may: [...BASE, 'src/stack/'] },
  { files: ['src/nat/'], may: [...BASE, 'src/stack/', 'src/nat/'] },
  { files: ['src/policy/sets/'], may: [...BASE, 'src/stack/', 'src/nat/hash-index', 'src/policy/sets/'] },
  { files: ['src/policy/ipset/'], may: ['src/errors', 'src/nearest', 'src/stack/wire/address', 'src/policy/sets/', 'src/policy/ipset/'] },
  { files: ['src/policy/model'], may: ['src/policy/model'] },
  { files: ['src/policy/engine/'], may: [...BASE, 'src/stack/', 'src/nat/hash-index', 'src/policy/model', 'src/policy/sets/', 'src/policy/engine/'] },
  { files: ['src/policy/iptables/'], may: ['src/errors', 'src/nearest', 'src/stack/wire/address', 'src/policy/model', 'src/policy/iptables/'] },
  { files: ['src/route/'], may: [...BASE, 'src/stack/', 'src/route/'] },
  { files: ['src/policy/iproute/'], may: [...BASE, 'src/nearest', 'src/stack/wire/', 'src/route/', 'src/policy/iproute/'] },
  { files: DATA_PLANE, may: DATA_PLANE },
]

/** Files that may put translation and routing together. Others may at most name the types of both. */
const COMPOSERS = [
  'src/hooks/', 'src/control/', 'src/admission', 'src/attachment', 'src/data-plane', 'src/error-path', 'src/explain', 'src/fragment-path',
  'src/knocks', 'src/known-flows', 'src/local-delivery', 'src/local-flows', 'src/local-path', 'src/new-flows', 'src/new-local',
  'src/next-hop-queue', 'src/outside-ports', 'src/own-egress', 'src/own-flows', 'src/own-host', 'src/own-sockets', 'src/own-traffic',
  'src/path-check', 'src/pipeline', 'src/policy-plane', 'src/reports', 'src/routing', 'src/testing/memory-gateway',
]

/** Folders that only some may import. */
const RESERVED = [
  { target: 'src/cli/', importers: ['src/cli/'] },
  { target: 'src/testing/', importers: ['src/testing/', 'src/cli/demo/'] },
]

/** Packages that only some may import; what is not named here, everything outside of the data plane may. */
const PACKAGES = [
  { packages: ['zod'], importers: ['src/config', 'src/config-schema'] },
  { packages: ['commander'], importers: ['src/cli/'] },
]

const within = (path, names) => names.some((name) => (name.endsWith('/') ? path.startsWith(name) : path === name))
const withoutExtension = (path) => path.replace(/\.(ts|js)$/, '')
const packageOf = (specifier) => specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')

/** Why `file` may not import `target`, both paths from the root without extension; null when it may. */
const badDirection = (file, target) => {
  const direction = DIRECTIONS.find(({ files }) => within(file, files))
  if (direction !== undefined && !within(target, direction.may)) return `${file} may import only ${direction.may.join(', ')}, not ${target}`
  const reserved = RESERVED.find((entry) => within(target, [entry.target]))
  if (reserved !== undefined && !within(file, reserved.importers)) return `only ${reserved.importers.join(', ')} may import ${target}`
  return null
}

const badPackage = (file, name) => {
  if (within(file, DATA_PLANE)) return `the data plane imports no package, not even ${name}`
  const rule = PACKAGES.find(({ packages }) => packages.includes(name))
  return rule !== undefined && !within(file, rule.importers) ? `only ${rule.importers.join(', ')} may import ${name}` : null
}

const isTypeOnly = (node) =>
  (node.importKind ?? node.exportKind) === 'type' ||
  (node.specifiers?.length > 0 && node.specifiers.every((each) => (each.importKind ?? each.exportKind) === 'type'))

export const importDirections = {
  meta: { type: 'problem', schema: [] },
  create(context) {
    const file = withoutExtension(relative(context.cwd, context.filename))
    const composed = new Set()

    const check = (node, source) => {
      if (typeof source?.value !== 'string') return
      const specifier = source.value
      if (specifier.startsWith('node:')) return
      if (!specifier.startsWith('.')) {
        const message = badPackage(file, packageOf(specifier))
        if (message !== null) context.report({ node, message })
        return
      }
      const target = withoutExtension(relative(context.cwd, resolve(dirname(context.filename), specifier)))
      const message = badDirection(file, target)
      if (message !== null) context.report({ node, message })
      if (isTypeOnly(node)) return
      for (const part of ['src/nat/', 'src/route/']) if (within(target, [part])) composed.add(part)
      if (composed.size === 2 && !within(file, COMPOSERS)) {
        context.report({ node, message: `only ${COMPOSERS.join(', ')} may import both src/nat/ and src/route/` })
      }
    }

    const loadsAddon = (node) => {
      if (file !== 'src/native') context.report({ node, message: 'only src/native.ts loads the addon' })
    }

    return {
      'Literal[value=/\\.node$/]': loadsAddon,
      'Identifier[name="dlopen"]': loadsAddon,
      ImportDeclaration: (node) => check(node, node.source),
      ExportNamedDeclaration: (node) => check(node, node.source),
      ExportAllDeclaration: (node) => check(node, node.source),
      ImportExpression: (node) => check(node, node.source),
    }
  },
}

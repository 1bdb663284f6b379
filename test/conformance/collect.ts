/** Finds the tests that carry conformance rows' ids, by reading the test files, not by running them. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export interface RowTest {
  readonly ids: readonly string[]
  /** The test's name after the ids; what varies in a table of cases stands in angle brackets. */
  readonly text: string
  /** The name of the `describe` around it; '' without one. */
  readonly group: string
  /** Path from the root of the repository. */
  readonly file: string
}

const ID = String.raw`[A-Z]+-\d+[a-z]?(?: \(REQ-\w+\))?`
const NAMED = new RegExp(`^(${ID}(?:, ${ID})*): (.+)$`)

const unwrapped = (node: ts.Expression): ts.Expression =>
  ts.isAsExpression(node) || ts.isSatisfiesExpression(node) || ts.isParenthesizedExpression(node) ? unwrapped(node.expression) : node

/** What a literal says, or null for what is only known when it runs. */
const said = (node: ts.Expression): string | null => {
  const literal = unwrapped(node)
  if (ts.isStringLiteralLike(literal) || ts.isNumericLiteral(literal)) return literal.text
  if (literal.kind === ts.SyntaxKind.TrueKeyword) return 'yes'
  return literal.kind === ts.SyntaxKind.FalseKeyword ? 'no' : null
}

interface Named {
  readonly name: ts.Expression
  /** The table of `it.each`. */
  readonly table: ts.Expression | null
}

/** The name of `it`, `test`, `it.each(…)` and the like, or null for other calls. */
const named = (call: ts.CallExpression): Named | null => {
  let callee: ts.Expression = call.expression
  while (ts.isCallExpression(callee) || ts.isPropertyAccessExpression(callee)) callee = callee.expression
  const isEach = ts.isPropertyAccessExpression(call.expression) && call.expression.name.text === 'each'
  const [name] = call.arguments
  if (!ts.isIdentifier(callee) || (callee.text !== 'it' && callee.text !== 'test') || isEach || name === undefined) return null
  const { expression } = call
  const isTable = ts.isCallExpression(expression) && ts.isPropertyAccessExpression(expression.expression) && expression.expression.name.text === 'each'
  return { name, table: isTable ? (expression.arguments[0] ?? null) : null }
}

/** Cases of a table that is written out, here or as a constant of the file, each as a list of what it says. */
const casesOf = (table: ts.Expression, source: ts.SourceFile): (string | null)[][] => {
  let list = unwrapped(table)
  if (ts.isIdentifier(list)) {
    const wanted = list.text
    let found: ts.Expression | undefined
    const visit = (node: ts.Node): void => {
      if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.name.text === wanted) found = node.initializer
      ts.forEachChild(node, visit)
    }
    visit(source)
    if (found === undefined) return []
    list = unwrapped(found)
  }
  if (!ts.isArrayLiteralExpression(list)) return []
  return list.elements.map((element) => {
    const one = unwrapped(element)
    return ts.isArrayLiteralExpression(one) ? one.elements.map(said) : [said(one)]
  })
}

const PLACE = /%[sdifjo]/g
/** A name with the places for a case's values filled in; null when one of them is not known. */
const filled = (text: string, values: readonly (string | null)[]): string | null => {
  let next = 0
  let isKnown = true
  const result = text.replaceAll(PLACE, () => {
    const value = values[next++] ?? null
    isKnown &&= value !== null
    return value ?? ''
  })
  return isKnown ? result : null
}

/** The texts of a test's name: one, or one for each case of its table. What is only known when it runs stands in angle brackets. */
const textsOf = ({ name, table }: Named, source: ts.SourceFile): string[] => {
  if (ts.isTemplateExpression(name)) {
    return [name.head.text + name.templateSpans.map(({ expression, literal }) => `⟨${ts.isIdentifier(expression) ? expression.text : '…'}⟩${literal.text}`).join('')]
  }
  if (!ts.isStringLiteralLike(name)) return []
  const cases = table === null || name.text.search(PLACE) < 0 ? [] : casesOf(table, source).map((values) => filled(name.text, values))
  const known = cases.filter((text) => text !== null)
  return known.length > 0 ? known : [name.text.replaceAll(/\$(\w+)/g, '⟨$1⟩').replaceAll(PLACE, '⟨…⟩')]
}

/** The name of a `describe`, or null for other calls. */
const groupOf = (call: ts.CallExpression): string | null => {
  let callee: ts.Expression = call.expression
  while (ts.isCallExpression(callee) || ts.isPropertyAccessExpression(callee)) callee = callee.expression
  const [name, body] = call.arguments
  if (!ts.isIdentifier(callee) || callee.text !== 'describe' || body === undefined || name === undefined || !ts.isStringLiteralLike(name)) return null
  return name.text.replaceAll(PLACE, '⟨…⟩')
}

const testsIn = (path: string): RowTest[] => {
  const found: RowTest[] = []
  const file = relative(ROOT, path)
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest)
  const visit = (node: ts.Node, group: string): void => {
    const test = ts.isCallExpression(node) ? named(node) : null
    const inner = ts.isCallExpression(node) ? (groupOf(node) ?? group) : group
    for (const name of test === null ? [] : textsOf(test, source)) {
      const [, ids, text] = name.match(NAMED) ?? []
      if (ids !== undefined && text !== undefined) found.push({ ids: ids.split(', ').map((id) => id.replace(/ .*/, '')), text, group, file })
    }
    ts.forEachChild(node, (child) => visit(child, inner))
  }
  visit(source, '')
  return found
}

/** Every test with a row's id, in the order of files and lines. */
export const collectTests = (): RowTest[] =>
  readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .sort()
    .flatMap((path) => testsIn(join(ROOT, 'test', path)))

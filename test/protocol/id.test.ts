// What is an id, and what only looks like one.
import t from 'tap'
import { z } from 'zod'
import {
  bindingId,
  claimId,
  codeId,
  jobId,
  keyId,
  looksLikeToken,
  projectId,
  tokenPrefix,
  workerId,
} from '../../src/protocol/id.ts'
import { body, ids } from './sample.ts'

const schemas = {
  prj: projectId,
  key: keyId,
  bnd: bindingId,
  wrk: workerId,
  job: jobId,
  clm: claimId,
  cod: codeId,
} as const

t.test('each id takes its own prefix and no other', async (t) => {
  for (const [prefix, schema] of Object.entries(schemas)) {
    const taken = Object.values(ids).filter((id) => schema.safeParse(id).success)
    t.strictSame(taken, [`${prefix}_${body}`], prefix)
  }
})

t.test('what only looks like an id is refused', async (t) => {
  const wrong = [
    body,
    `wrk_${body.slice(1)}`,
    `wrk_${body}0`,
    `wrk_${body.toUpperCase()}`,
    `wrk_${body.slice(1)}l`,
    ` wrk_${body}`,
    `wrk_${body}\n`,
    `wrk_${body}.1`,
    `wrk_../${body.slice(3)}`,
    '',
    7,
    null,
    undefined,
    [`wrk_${body}`],
  ]
  for (const value of wrong) t.notOk(workerId.safeParse(value).success, JSON.stringify(value) ?? 'undefined')
})

t.test('an element of an array stands wherever a job stands', async (t) => {
  for (const tail of ['.0', '.7', '.999999']) t.ok(jobId.safeParse(ids.job + tail).success, tail)
  for (const tail of ['.', '.-1', '.1000000', '.1.2', '.a']) t.notOk(jobId.safeParse(ids.job + tail).success, tail)
})

t.test('an id has a form in JSON Schema too', async (t) => {
  for (const schema of Object.values(schemas)) {
    const json = z.toJSONSchema(schema, { unrepresentable: 'any' })
    t.equal(json.type, 'string')
    t.ok(Object.values(ids).some((id) => new RegExp(json.pattern ?? '^$').test(id)))
  }
})

t.test('a scanner finds every kind of token', async (t) => {
  for (const prefix of Object.values(tokenPrefix)) {
    t.match(`x ${prefix}${'aB0_-'.repeat(8)} y`, looksLikeToken)
    t.notMatch(`${prefix}short`, looksLikeToken, 'the prefix alone is no token')
  }
})

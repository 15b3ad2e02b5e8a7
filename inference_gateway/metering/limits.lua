-- Sets aside one request, and what tokens it may use, of every subject's limits, or of none; and more in advance.
--
-- ARGV: process, 1 for a request or 0 for an advance alone, prompt tokens, completion tokens, 1 where the completion may
-- be cut to what is left, 1 where advances are called in before anybody is refused, requests wanted in advance, the day
-- and the month as budgets' keys end with them, then for each subject: id, requests a minute, tokens a minute, parallel
-- requests, tokens a day, tokens a month; -1 is no limit.
-- Returns {"ok", completion tokens set aside, requests in advance, milliseconds that the minute has left, requests:
-- limit, left, milliseconds, tokens: limit, left, milliseconds, then each subject's minute},
-- {"no", subject's number, limit's name, limit, used, milliseconds until it is worth asking again, 1 if never},
-- {"recall", 1 where another process has to give back first}, {"load", subject's number}: a budget's count is not here
-- and has to be read from where usage is kept, or {"lost"}: what this process held is forgotten.
local process, own, prompt, completion = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local is_soft, is_patient, units = ARGV[5] == '1', ARGV[6] == '1', tonumber(ARGV[7])
local day, month = ARGV[8], ARGV[9]
-- An advance is at most this share of what is left.
local SHARE, TIGHT_MS = 8, 1000
if redis.call('EXPIRE', 'slipway:limits:alive:' .. process, 10) == 0 then return {'lost'} end

local living = {[process] = true}
local function lives(name)
  if living[name] == nil then
    living[name] = redis.call('EXISTS', 'slipway:limits:alive:' .. name) == 1
  end
  return living[name]
end

-- What processes hold: n requests and t tokens, of these u and a in advance. Of a process that has died nothing is left.
local function sum_held(key)
  local sums, ahead, fields = {n = 0, t = 0, u = 0, a = 0}, {}, redis.call('HGETALL', key)
  for at = 1, #fields, 2 do
    local name, kind = string.match(fields[at], '^(.*)/(%a)$')
    local held = tonumber(fields[at + 1])
    if not lives(name) then
      redis.call('HDEL', key, fields[at])
    elseif held > 0 then
      sums[kind] = sums[kind] + held
      if kind == 'u' or kind == 'a' then ahead[name] = true end
    end
  end
  return sums, ahead
end

-- While it is tight nothing is given in advance, and whoever has something is asked to give it back.
local function call_in(one)
  redis.call('SET', one.key .. ':tight', 1, 'PX', TIGHT_MS)
  local is_any, others = false, 0
  for name in pairs(one.ahead) do
    is_any = true
    if name ~= process then
      others = 1
      redis.call('SADD', 'slipway:limits:recall:' .. name, one.id)
      redis.call('EXPIRE', 'slipway:limits:recall:' .. name, 10)
    end
  end
  if is_any and is_patient then return {'recall', others} end
end

local subjects, room, need, minute_ms = {}, math.huge, math.max(1, prompt + completion), math.huge
local least = is_soft and prompt + 1 or prompt + completion
for at = 10, #ARGV, 6 do
  local key, number = 'slipway:limits:' .. ARGV[at], (at - 10) / 6 + 1
  local one = {key = key, id = ARGV[at], minute = key .. ':minute', held = key .. ':held', limits = {}}
  local requests, tokens, parallel = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  one.requests, one.parallel = requests, parallel
  one.sums, one.ahead = sum_held(one.held)
  local minute = redis.call('HMGET', one.minute, 's', 'r', 't')
  one.begun, one.asked = minute[1], tonumber(minute[2] or 0)
  one.left_ms = one.begun and redis.call('PTTL', one.minute) or 60000
  minute_ms = math.min(minute_ms, one.left_ms)
  local asked = one.asked + one.sums.u
  if own == 1 and requests >= 0 and asked + 1 > requests then
    local recalled = requests >= 1 and call_in(one)
    if recalled and one.asked < requests then return recalled end
    return {'no', number, 'requests_per_minute', requests, asked, one.left_ms, requests < 1 and 1 or 0}
  end
  if own == 1 and parallel >= 0 and one.sums.n + 1 > parallel then
    local recalled = parallel >= 1 and call_in(one)
    if recalled then return recalled end
    return {'no', number, 'parallel_requests', parallel, one.sums.n, 1000, parallel < 1 and 1 or 0}
  end
  if tokens >= 0 then one.limits[1] = {'tokens_per_minute', tokens, tonumber(minute[3] or 0), one.left_ms} end
  local budgets = {
    {'tokens_per_day', tonumber(ARGV[at + 4]), day},
    {'tokens_per_month', tonumber(ARGV[at + 5]), month},
  }
  for _, budget in ipairs(budgets) do
    if budget[2] >= 0 then
      local used = redis.call('GET', key .. ':' .. budget[3])
      if not used then return {'load', number} end
      one.limits[#one.limits + 1] = {budget[1], budget[2], tonumber(used), -1}
    end
  end
  for _, limit in ipairs(one.limits) do
    local used = limit[3] + one.sums.t
    local left = limit[2] - used - prompt
    if own == 1 and left < completion and least <= limit[2] then
      local recalled = call_in(one)
      if recalled then return recalled end
    end
    if own == 1 and used + least > limit[2] then
      return {'no', number, limit[1], limit[2], used, limit[4], least > limit[2] and 1 or 0}
    end
    room = math.min(room, left)
  end
  subjects[number] = one
end

if is_soft and own == 1 then completion = math.min(completion, room) end
local mine = own * (prompt + completion)
for _, one in ipairs(subjects) do
  if units > 0 and redis.call('EXISTS', one.key .. ':tight') == 1 then units = 0 end
  if own == 0 and not one.begun then units = 0 end
  if one.requests >= 0 then units = math.min(units, math.floor((one.requests - one.asked - one.sums.u - own) / SHARE)) end
  if one.parallel >= 0 then units = math.min(units, math.floor((one.parallel - one.sums.n - own) / SHARE)) end
  for _, limit in ipairs(one.limits) do
    units = math.min(units, math.floor((limit[2] - limit[3] - one.sums.t - mine) / SHARE / need))
  end
end
if units < 2 then units = 0 end

local told = {'ok', completion, units, minute_ms, -1, -1, -1, -1, -1, -1}
for number, one in ipairs(subjects) do
  if own == 1 and not one.begun then
    one.begun = table.concat(redis.call('TIME'), '.')
    redis.call('HSET', one.minute, 's', one.begun)
    redis.call('PEXPIRE', one.minute, 60000)
  end
  if own == 1 then redis.call('HINCRBY', one.minute, 'r', 1) end
  if own + units > 0 then
    redis.call('HINCRBY', one.held, process .. '/n', own + units)
    redis.call('HINCRBY', one.held, process .. '/t', mine + units * need)
    redis.call('EXPIRE', one.held, 86400)
  end
  if units > 0 then
    redis.call('HINCRBY', one.held, process .. '/u', units)
    redis.call('HINCRBY', one.held, process .. '/a', units * need)
  end
  -- What is in advance is not used yet.
  if one.requests >= 0 and (told[6] < 0 or one.requests - one.asked - own < told[6]) then
    told[5], told[6], told[7] = one.requests, one.requests - one.asked - own, one.left_ms
  end
  for _, limit in ipairs(one.limits) do
    local left = limit[2] - limit[3] - one.sums.t + one.sums.a - mine
    if told[9] < 0 or left < told[9] then told[8], told[9], told[10] = limit[2], left, limit[4] end
  end
  told[10 + number] = one.begun or ''
end
return told

-- Lets one request begin under all names, or under none.
local rows, let_in = {}, 1
for number, key in ipairs(KEYS) do
  local first = (number - 1) * 5
  local requests, tokens = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local budget_tokens, budget_picodollars = tonumber(ARGV[first + 4]), tonumber(ARGV[first + 5])
  local row = read(key, requests, tokens, ARGV[first + 3])
  if (requests and row.requests + 1 > requests) or (tokens and row.tokens + 1 > tokens)
    or (budget_tokens and row.spent_tokens >= budget_tokens)
    or (budget_picodollars and row.spent_picodollars >= budget_picodollars) then
    let_in = 0
  end
  rows[number] = row
end
local told = {let_in}
for number, key in ipairs(KEYS) do
  local row, first = rows[number], (number - 1) * 5
  if let_in == 1 then
    if ARGV[first + 1] ~= '' then
      row.requests = row.requests + 1
    end
    write(key, row, tonumber(ARGV[first + 2]))
  end
  table.insert(told, text(row.requests))
  table.insert(told, text(row.tokens))
  table.insert(told, text(row.spent_tokens))
  table.insert(told, text(row.spent_picodollars))
end
return told

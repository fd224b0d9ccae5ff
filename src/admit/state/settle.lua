-- Notes what was used under one name. What this server has lost is taken from who asks, if he knows more.
local requests, tokens, period = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local row = read(KEYS[1], requests, tokens, period)
row.tokens = row.tokens + tonumber(ARGV[4])
if period ~= '' then
  if row.period == period then
    row.spent_tokens = math.max(row.spent_tokens, tonumber(ARGV[5]))
    row.spent_picodollars = math.max(row.spent_picodollars, tonumber(ARGV[6]))
  end
  row.spent_tokens = row.spent_tokens + tonumber(ARGV[7])
  row.spent_picodollars = row.spent_picodollars + tonumber(ARGV[8])
end
write(KEYS[1], row, tokens)
return 1

// Recursive-descent parser of expressions: Python's precedence, nothing executed.
#include "core/expr_tree.h"

#include <algorithm>
#include <charconv>

namespace coppice::detail {

namespace {

constexpr int kMaxDepth = 200;
constexpr std::size_t kMaxLength = 10000;  // bounds the depth of a chain of operators, too

struct Function {
  std::string_view name;
  ExprOp op;
  std::size_t least, most;
};
constexpr std::size_t kMany = 1000;
constexpr Function kFunctions[] = {
    {"min", ExprOp::min, 1, kMany},
    {"max", ExprOp::max, 1, kMany},
    {"abs", ExprOp::abs, 1, 1},
    {"ceil_div", ExprOp::ceil_div, 2, 2},
    {"align_up", ExprOp::align_up, 2, 2},
    {"align_down", ExprOp::align_down, 2, 2},
    {"floor", ExprOp::floor, 1, 1},
    {"ceil", ExprOp::ceil, 1, 1},
    {"log2", ExprOp::log2, 1, 1},
    {"sqrt", ExprOp::sqrt, 1, 1},
    {"int", ExprOp::to_int, 1, 1},
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

struct Token {
  enum class Kind { end, number, text, name, symbol };
  Kind kind = Kind::end;
  std::string_view spelling;
  std::uint32_t column = 0;
};

class Parser {
 public:
  Parser(std::string_view text, ExprTree& tree) : text_(text), tree_(tree) { advance(); }

  Result<void> parse() {
    tree_.root = choice();
    if (problem_.empty() && token_.kind != Token::Kind::end) {
      fail("expected an operator or the end");
    }
    if (!problem_.empty()) {
      return Error{ErrorCode::config,
                   "expression \"" + std::string(text_) + "\": column " +
                       std::to_string(problem_column_) + ": " + problem_};
    }
    return {};
  }

 private:
  // ---- tokens ----

  void advance() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) {
      ++at_;
    }
    token_ = Token{Token::Kind::end, {}, static_cast<std::uint32_t>(at_ + 1)};
    if (at_ >= text_.size()) {
      return;
    }
    const char c = text_[at_];
    const bool fraction = c == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]);
    if (is_digit(c) || fraction) {
      take(Token::Kind::number, number_length());
    } else if (starts_name(c)) {
      std::size_t n = 1;
      while (at_ + n < text_.size() &&
             (starts_name(text_[at_ + n]) || is_digit(text_[at_ + n]) || text_[at_ + n] == '.')) {
        ++n;
      }
      take(Token::Kind::name, n);
    } else if (c == '\'' || c == '"') {
      const std::size_t close = text_.find(c, at_ + 1);
      if (close == std::string_view::npos) {
        fail("text without its closing quote");
        at_ = text_.size();
        return;
      }
      take(Token::Kind::text, close + 1 - at_);
    } else {
      take(Token::Kind::symbol, symbol_length());
    }
  }

  void take(Token::Kind kind, std::size_t length) {
    token_.kind = kind;
    token_.spelling = text_.substr(at_, length);
    at_ += length;
  }

  std::size_t number_length() const {
    std::size_t n = 0;
    const auto digits = [&] {
      while (at_ + n < text_.size() && is_digit(text_[at_ + n])) {
        ++n;
      }
    };
    digits();
    if (at_ + n < text_.size() && text_[at_ + n] == '.') {
      ++n;
      digits();
    }
    if (at_ + n < text_.size() && (text_[at_ + n] == 'e' || text_[at_ + n] == 'E')) {
      std::size_t sign = n + 1;
      if (at_ + sign < text_.size() && (text_[at_ + sign] == '-' || text_[at_ + sign] == '+')) {
        ++sign;
      }
      if (at_ + sign < text_.size() && is_digit(text_[at_ + sign])) {
        n = sign;
        digits();
      }
    }
    return n;
  }

  std::size_t symbol_length() const {
    static constexpr std::string_view kPairs[] = {"==", "!=", "<=", ">=", "//", "**", "&&", "||"};
    const std::string_view two = text_.substr(at_, 2);
    return std::find(std::begin(kPairs), std::end(kPairs), two) != std::end(kPairs) ? 2 : 1;
  }

  bool is(std::string_view spelling) const {
    return token_.kind != Token::Kind::text && token_.spelling == spelling;
  }
  bool accept(std::string_view spelling) {
    if (!is(spelling)) {
      return false;
    }
    advance();
    return true;
  }
  void expect(std::string_view spelling) {
    if (!accept(spelling)) {
      fail("expected \"" + std::string(spelling) + "\"");
    }
  }

  // The first problem counts; afterwards the rest is skipped.
  void fail(const std::string& expected) {
    if (problem_.empty()) {
      problem_column_ = token_.column;
      problem_ = expected +
                 (token_.kind == Token::Kind::end && token_.spelling.empty() && at_ >= text_.size()
                      ? ", found the end"
                      : ", found \"" + std::string(token_.spelling) + "\"");
    }
    token_ = Token{Token::Kind::end, {}, token_.column};
    at_ = text_.size();
  }

  // ---- nodes ----

  std::uint32_t node(ExprOp op, std::uint32_t column, std::array<std::uint32_t, 3> kids = {}) {
    ExprNode made;
    made.op = op;
    made.column = column;
    made.kids = kids;
    tree_.nodes.push_back(made);
    return static_cast<std::uint32_t>(tree_.nodes.size() - 1);
  }

  std::uint32_t literal(std::uint32_t column, ExprCell cell) {
    const std::uint32_t made = node(ExprOp::literal, column);
    tree_.nodes[made].literal = cell;
    return made;
  }

  std::uint32_t truth(std::uint32_t column, bool value) {
    ExprCell cell;
    cell.kind = ExprCell::Kind::boolean;
    cell.integer = value ? 1 : 0;
    return literal(column, cell);
  }

  // ---- grammar, loosest first ----

  std::uint32_t choice() {
    if (++depth_ > kMaxDepth) {
      fail("nested deeper than 200 levels");
    }
    const std::uint32_t value = either();
    std::uint32_t out = value;
    const std::uint32_t column = token_.column;
    if (accept("if")) {
      const std::uint32_t condition = either();
      expect("else");
      const std::uint32_t otherwise = choice();
      out = node(ExprOp::choose, column, {condition, value, otherwise});
    }
    --depth_;
    return out;
  }

  std::uint32_t either() {
    std::uint32_t left = both();
    while (is("or") || is("||")) {
      const std::uint32_t column = token_.column;
      advance();
      left = node(ExprOp::or_else, column, {left, both()});
    }
    return left;
  }

  std::uint32_t both() {
    std::uint32_t left = inverse();
    while (is("and") || is("&&")) {
      const std::uint32_t column = token_.column;
      advance();
      left = node(ExprOp::and_also, column, {left, inverse()});
    }
    return left;
  }

  std::uint32_t inverse() {
    const std::uint32_t column = token_.column;
    if (accept("not") || accept("!")) {
      if (++depth_ > kMaxDepth) {
        fail("nested deeper than 200 levels");
      }
      const std::uint32_t made = node(ExprOp::negate_truth, column, {inverse()});
      --depth_;
      return made;
    }
    return comparison();
  }

  bool comparison_op(ExprOp& op) const {
    static constexpr std::pair<std::string_view, ExprOp> kOps[] = {{"==", ExprOp::equal},
                                                                   {"!=", ExprOp::unequal},
                                                                   {"<", ExprOp::less},
                                                                   {"<=", ExprOp::less_equal},
                                                                   {">", ExprOp::greater},
                                                                   {">=", ExprOp::greater_equal}};
    for (const auto& [spelling, found] : kOps) {
      if (is(spelling)) {
        op = found;
        return true;
      }
    }
    return false;
  }

  // a < b < c means a < b and b < c, as in Python.
  std::uint32_t comparison() {
    std::uint32_t left = sum();
    std::uint32_t out = left;
    bool first = true;
    while (true) {
      const std::uint32_t column = token_.column;
      std::uint32_t test = 0;
      ExprOp op = ExprOp::equal;
      if (comparison_op(op)) {
        advance();
        const std::uint32_t right = sum();
        test = node(op, column, {left, right});
        left = right;
      } else if (accept("in")) {
        test = membership(left, column);
      } else if (is("not")) {
        advance();
        expect("in");
        test = node(ExprOp::negate_truth, column, {membership(left, column)});
      } else {
        return out;
      }
      out = first ? test : node(ExprOp::and_also, column, {out, test});
      first = false;
    }
  }

  std::uint32_t membership(std::uint32_t item, std::uint32_t column) {
    expect("[");
    std::vector<std::uint32_t> kids;
    while (problem_.empty() && !is("]")) {
      kids.push_back(choice());
      if (!is("]")) {
        expect(",");
      }
    }
    expect("]");
    const std::uint32_t made = node(ExprOp::member, column, {item});
    attach(made, kids);
    return made;
  }

  void attach(std::uint32_t to, const std::vector<std::uint32_t>& kids) {
    tree_.nodes[to].list = static_cast<std::uint32_t>(tree_.lists.size());
    tree_.nodes[to].list_count = static_cast<std::uint32_t>(kids.size());
    tree_.lists.insert(tree_.lists.end(), kids.begin(), kids.end());
  }

  std::uint32_t sum() {
    std::uint32_t left = product();
    while (is("+") || is("-")) {
      const ExprOp op = is("+") ? ExprOp::add : ExprOp::subtract;
      const std::uint32_t column = token_.column;
      advance();
      left = node(op, column, {left, product()});
    }
    return left;
  }

  std::uint32_t product() {
    std::uint32_t left = signed_value();
    while (is("*") || is("/") || is("//") || is("%")) {
      const ExprOp op = is("*")    ? ExprOp::multiply
                        : is("/")  ? ExprOp::divide
                        : is("//") ? ExprOp::floor_divide
                                   : ExprOp::modulo;
      const std::uint32_t column = token_.column;
      advance();
      left = node(op, column, {left, signed_value()});
    }
    return left;
  }

  std::uint32_t signed_value() {
    if (++depth_ > kMaxDepth) {
      fail("nested deeper than 200 levels");
    }
    const std::uint32_t column = token_.column;
    const std::uint32_t made =
        accept("-") ? node(ExprOp::minus, column, {signed_value()}) : power();
    --depth_;
    return made;
  }

  // Binds tighter than a sign on its left, looser than one on its right; groups to the right.
  std::uint32_t power() {
    const std::uint32_t base = atom();
    const std::uint32_t column = token_.column;
    if (!accept("**")) {
      return base;
    }
    return node(ExprOp::power, column, {base, signed_value()});
  }

  std::uint32_t atom() {
    const Token token = token_;
    switch (token.kind) {
      case Token::Kind::number:
        advance();
        return number(token);
      case Token::Kind::text: {
        advance();
        tree_.texts.emplace_back(token.spelling.substr(1, token.spelling.size() - 2));
        ExprCell cell;
        cell.kind = ExprCell::Kind::text;
        cell.text = &tree_.texts.back();
        return literal(token.column, cell);
      }
      case Token::Kind::name:
        return word(token);
      case Token::Kind::symbol:
        if (accept("(")) {
          const std::uint32_t inner = choice();
          expect(")");
          return inner;
        }
        break;
      case Token::Kind::end:
        break;
    }
    fail("expected a value");
    return truth(token.column, false);
  }

  std::uint32_t number(const Token& token) {
    const char* begin = token.spelling.data();
    const char* end = begin + token.spelling.size();
    ExprCell cell;
    std::from_chars_result read{};
    if (token.spelling.find_first_of(".eE") == std::string_view::npos) {
      read = std::from_chars(begin, end, cell.integer);
    } else {
      cell.kind = ExprCell::Kind::real;
      cell.real = 0.0;
      read = std::from_chars(begin, end, cell.real);
    }
    if (read.ec != std::errc() || read.ptr != end) {
      fail("the number " + std::string(token.spelling) + " is out of range");
    }
    return literal(token.column, cell);
  }

  std::uint32_t word(const Token& token) {
    const std::string_view name = token.spelling;
    for (const std::string_view keyword : {"or", "and", "not", "in", "if", "else"}) {
      if (name == keyword) {
        fail("expected a value");
        return truth(token.column, false);
      }
    }
    advance();
    if (name == "True" || name == "true") {
      return truth(token.column, true);
    }
    if (name == "False" || name == "false") {
      return truth(token.column, false);
    }
    if (is("(")) {
      return call(token);
    }
    const auto known = std::find(tree_.names.begin(), tree_.names.end(), name);
    const auto slot = static_cast<std::uint32_t>(known - tree_.names.begin());
    if (known == tree_.names.end()) {
      tree_.names.emplace_back(name);
    }
    const std::uint32_t made = node(ExprOp::name, token.column);
    tree_.nodes[made].slot = slot;
    return made;
  }

  std::uint32_t call(const Token& token) {
    const auto* function =
        std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](const Function& f) {
          return f.name == token.spelling;
        });
    if (function == std::end(kFunctions)) {
      fail("unknown function \"" + std::string(token.spelling) + "\"");
      return truth(token.column, false);
    }
    expect("(");
    std::vector<std::uint32_t> kids;
    while (problem_.empty() && !is(")")) {
      kids.push_back(choice());
      if (!is(")")) {
        expect(",");
      }
    }
    if (kids.size() < function->least || kids.size() > function->most) {
      fail(std::string(function->name) + " takes " + std::to_string(function->least) +
           (function->most == kMany ? " or more" : "") + " arguments, not " +
           std::to_string(kids.size()));
      return truth(token.column, false);
    }
    expect(")");
    const std::uint32_t made =
        node(function->op, token.column, {kids[0], kids.size() > 1 ? kids[1] : 0});
    attach(made, kids);
    return made;
  }

  std::string_view text_;
  ExprTree& tree_;
  std::size_t at_ = 0;
  Token token_;
  int depth_ = 0;
  std::string problem_;
  std::uint32_t problem_column_ = 0;
};

}  // namespace

Result<void> parse_expr(std::string_view text, ExprTree& tree) {
  if (text.size() > kMaxLength) {
    return Error{ErrorCode::config,
                 "expression of " + std::to_string(text.size()) + " characters, expected at most " +
                     std::to_string(kMaxLength)};
  }
  tree.text = std::string(text);
  // The tokens point into the tree's own copy.
  return Parser(tree.text, tree).parse();
}

}  // namespace coppice::detail

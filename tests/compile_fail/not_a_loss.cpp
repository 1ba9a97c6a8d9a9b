// SPDX-License-Identifier: Apache-2.0
// expect: this is not a Loss: it needs evaluate\(view, dscores, dlogits\)
// errors: 2
#include <xmoe/xmoe.hpp>

using namespace xmoe;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Gelu>, dispatch::Dropless>;
#if defined(XMOE_BAD)
using Term = weigh::Raw;
#else
using Term = loss::ZLoss;
#endif

double add(const Layer& layer, Layer::Tape& tape) { return layer.add_loss(tape, Term{}); }
